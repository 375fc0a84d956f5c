"""Whatever is asked, by whomever: both paths answer byte for byte alike."""

import os
from collections import Counter
from collections.abc import Callable
from random import Random

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.graphql.compiled.operations import Generator, Operation, Samples
from tests.graphql.compiled.samples import samples_of
from tests.graphql.compiled.world import Population
from tests.paths import Paths

MORE = "GENERATED_OPERATIONS" in os.environ  # so many, others each time, and the smallest that fails is looked for
EXAMPLES = int(os.environ.get("GENERATED_OPERATIONS", "1000")) // 2
COUNTED = 150
VIEWERS = ["superuser", "customer", "owner", "other owner", "anonymous", "deleted user", "idle"]


@pytest.fixture
async def samples(paths: Paths, population: Population) -> Samples:
    """Ids of the world, and cursors as the resolver path gives them out."""
    return await samples_of(paths.resolver, population)


@st.composite
def generated(draw: st.DrawFn, samples: Samples) -> Operation:
    """By a seed, which makes larger operations; by choices that can be made smaller where there is time for it."""
    below = (lambda limit: draw(st.integers(0, limit - 1))) if MORE and draw(st.booleans()) else _seeded(draw)
    return Generator(below, samples).operation()


def _seeded(draw: st.DrawFn) -> Callable[[int], int]:
    return Random(draw(st.integers(0, 2**64))).randrange


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not MORE,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink] if MORE else [Phase.generate],  # shrinking takes minutes
)
@given(data=st.data(), asking=st.lists(st.sampled_from(VIEWERS), min_size=2, max_size=2))
async def test_generated_operations_are_answered_alike(
    paths: Paths, population: Population, samples: Samples, data: st.DataObject, asking: list[str]
) -> None:
    """Each by two viewers, one after the other: what was made for the first must not show in the other's answer. The
    errors are compared as the data is: those of fields that the viewer may not read come from either path."""
    query, variables, name = data.draw(generated(samples), label="operation")
    for viewer in asking:
        await paths.agree(query, variables, user=population.viewers[viewer], operation_name=name)


async def test_the_compiled_path_answers_most_of_what_can_be_answered(
    paths: Paths, population: Population, samples: Samples
) -> None:
    """So that the test above does not compare the resolver path with itself, and compares what is refused, too."""
    answered: Counter[bool] = Counter()
    refused: Counter[bool] = Counter()
    for seed in range(COUNTED):
        random = Random(seed)
        query, variables, name = Generator(random.randrange, samples).operation()
        viewer = population.viewers[random.choice(VIEWERS)]
        answers = await paths.agree(query, variables, user=viewer, operation_name=name)
        codes = {error["extensions"]["code"] for error in answers.errors}
        if not answers.has_errors:
            answered[answers.was_compiled] += 1
        elif codes <= {"UNAUTHENTICATED", "FORBIDDEN"}:
            refused[answers.was_compiled] += any(orjson.loads(answers.compiled)["data"].values())

    assert answered.total() > COUNTED / 3
    assert answered[True] / answered.total() > 0.85, answered
    assert refused[True] > COUNTED / 10, refused  # one field of several, of which others are answered
    assert refused[True] / refused.total() > 0.85, refused
