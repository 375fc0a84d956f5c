"""How much is tried: the same each time, in seconds; with FUZZ=20 in the environment twenty times as much, other things
each time, and the smallest that fails is looked for."""

import os
from random import Random

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

MORE = "FUZZ" in os.environ
FACTOR = int(os.environ.get("FUZZ", "1"))
# Choices that can be made smaller take much longer than those by a seed.
RANDOMS: st.SearchStrategy[Random] = st.randoms(use_true_random=not MORE, note_method_calls=False)


def tries(number: int) -> settings:
    """Return the settings of a test that tries so many."""
    return settings(
        max_examples=number * FACTOR,
        deadline=None,
        derandomize=not MORE,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink] if MORE else [Phase.explicit, Phase.generate],
    )
