"""Mirror a registry to MLflow's model registry, for those who look there. The registry's folder stays the truth.

Every version becomes a model version with the bundle's files as artefacts and its digest as a tag; the aliases follow.
Nothing is ever read back: what MLflow holds can be deleted and made again.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from fastslow.core.errors import BadInput, in_one_line
from fastslow.core.extras import how_to_install
from fastslow.registry.registry import ALIASES, ModelRegistry

DIGEST = "fastslow.digest"
"""Tag by which a version is known again."""


def mirror(registry: ModelRegistry, uri: str, name: str, tell: Callable[[str], None]) -> None:
    """Bring MLflow's registered model `name` to the state of the registry.

    Args:
        registry: read and verified, never changed.
        uri: of the MLflow server.
        name: of the registered model, which is made if it does not exist.
        tell: called with a line for every version and alias that was written.

    Raises BadInput where the extra `mlflow` is not installed, where the server refuses or cannot be reached, and for a
    version that is damaged.
    """
    try:
        refused: type[Exception] = import_module("mlflow.exceptions").MlflowException
        client = import_module("mlflow").MlflowClient(tracking_uri=uri, registry_uri=uri)
    except ImportError as error:
        raise BadInput(f"MLflow is not installed; {how_to_install('mlflow')}.") from error
    try:
        _make_model(client, name)
        aliases = registry.aliases()  # before the versions: a version that is added meanwhile has no number yet
        known = {v.tags.get(DIGEST): str(v.version) for v in client.search_model_versions(f"name='{name}'")}
        for version in registry.versions():
            digest = registry.digest(version)
            if digest not in known:
                known[digest] = _add(client, registry, version, name)
                tell(f"{version} is version {known[digest]} of '{name}'")
        wanted = {alias: known[registry.digest(version)] for alias, version in aliases.items()}
        _set_aliases(client, name, wanted, tell)
    except (refused, OSError) as error:
        raise BadInput(f"MLflow at '{uri}': {in_one_line(error)}") from error


def _make_model(client: Any, name: str) -> None:
    if not [model for model in client.search_registered_models(f"name='{name}'") if model.name == name]:
        client.create_registered_model(name, description="Mirrored by fastslow registry; do not change by hand.")


def _add(client: Any, registry: ModelRegistry, version: str, name: str) -> str:
    """Upload one version, and return MLflow's number for it."""
    folder, tags = registry.verified(version), {"fastslow.version": version, DIGEST: registry.digest(version)}
    experiment = client.get_experiment_by_name("fastslow registry")
    place = experiment.experiment_id if experiment else client.create_experiment("fastslow registry")
    run = client.create_run(place, run_name=f"{name} {version}", tags=tags)
    client.log_artifacts(run.info.run_id, str(folder), "bundle")
    client.set_terminated(run.info.run_id)
    source = f"{run.info.artifact_uri}/bundle"
    return str(client.create_model_version(name, source, run.info.run_id, tags=tags).version)


def _set_aliases(client: Any, name: str, wanted: dict[str, str], tell: Callable[[str], None]) -> None:
    there = {alias: str(of) for alias, of in client.get_registered_model(name).aliases.items()}
    for alias in ALIASES:
        if alias in wanted and there.get(alias) != wanted[alias]:
            client.set_registered_model_alias(name, alias, wanted[alias])
            tell(f"{alias} is version {wanted[alias]} of '{name}'")
        elif alias in there and alias not in wanted:
            client.delete_registered_model_alias(name, alias)
            tell(f"'{name}' has no {alias} any more")
