"""Five evaluations with Inspect AI, 100 samples and some failures: a run to watch on the bus.

    EVENTBUS_URL=http://127.0.0.1:8000 python docs/examples/inspect_quickstart.py

It needs no model, no key and no network: `mockllm/model` answers. What goes wrong, and how often,
is always the same: some samples succeed when they are retried, one task tolerates errors, and one
task fails as a whole.
"""

import argparse
import asyncio
from collections import Counter

from inspect_ai import Task, eval, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import match
from inspect_ai.solver import Generate, Solver, TaskState, solver

SAMPLES = 20
attempts: Counter[tuple[str, int]] = Counter()


def answer(input: list[ChatMessage], *_: object) -> ModelOutput:
    """What the mock model says: right, except where the question is about a multiple of 7."""
    question = input[-1].text
    number = int(question.split()[-1].rstrip("?"))
    output = ModelOutput.from_content("mockllm/model", str(number * 2 + (number % 7 == 0)))
    tokens = len(question)
    output.usage = ModelUsage(input_tokens=tokens, output_tokens=4, total_tokens=tokens + 4)
    return output


@solver
def work(name: str, seconds: float, flaky: int = 0, broken: tuple[int, ...] = ()) -> Solver:
    """Think for a while, then ask the model.

    Every ``flaky``-th sample fails at its first attempt, those in ``broken`` at every one.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        number = int(state.sample_id)
        attempts[name, number] += 1
        await asyncio.sleep(seconds * (0.5 + number % 5 / 5))
        if flaky and number % flaky == 0 and attempts[name, number] == 1:
            raise ConnectionError(f"sandbox for sample {number} did not start in time")
        if number in broken:
            raise ValueError(f"the tool call of sample {number} is not valid JSON")
        return await generate(state)

    return solve


def doubling(name: str, seconds: float, fail_on_error: bool | float = True, **faults) -> Task:
    """A task of 20 samples that ask for the double of a number."""
    return Task(
        name=name,
        dataset=[
            Sample(id=n, input=f"What is twice {n}?", target=str(n * 2))
            for n in range(1, SAMPLES + 1)
        ],
        solver=work(name, seconds, **faults),
        scorer=match(numeric=True),
        fail_on_error=fail_on_error,
    )


@task
def warm_up(seconds: float = 1.0) -> Task:
    return doubling("warm_up", seconds)


@task
def flaky_sandbox(seconds: float = 1.0) -> Task:
    return doubling("flaky_sandbox", seconds, flaky=4)


@task
def tolerant(seconds: float = 1.0) -> Task:
    return doubling("tolerant", seconds, fail_on_error=False, flaky=9, broken=(6, 13, 20))


@task
def fragile(seconds: float = 1.0) -> Task:
    return doubling("fragile", seconds, broken=(12,))


@task
def long_haul(seconds: float = 1.0) -> Task:
    return doubling("long_haul", seconds * 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="about how long it takes")
    each = parser.parse_args().seconds / 15
    eval(
        [warm_up(each), flaky_sandbox(each), tolerant(each), fragile(each), long_haul(each)],
        model=get_model("mockllm/model", custom_outputs=answer),
        max_tasks=3,
        max_samples=4,
        retry_on_error=2,
    )
