"""A task of one's own: questions, answers, and what to say about a wrong one."""

from fastslow.tasks.families.rows import Rows, RowsTask


def score(completion: str, row: dict) -> tuple[float, str]:
    if completion.strip() == row["answer"]:
        return 1.0, "Correct."
    return 0.0, f"'{completion.strip()}' is wrong, the answer is {row['answer']}: digits alone, no unit, no words."


def make_task() -> RowsTask:
    rows = [{"question": f"How many centimetres are {n} metres?", "answer": str(100 * n)} for n in range(1, 101)]
    return RowsTask("metres", "metres", Rows(list(enumerate(rows))), scorer=score)
