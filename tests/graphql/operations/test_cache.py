"""What is kept is what was used last, and no more of it than may be."""

from app.graphql.operations.cache import Cache


def test_an_entry_is_made_once() -> None:
    cache: Cache[str, list[int]] = Cache(2)

    assert cache.get("a", list) is cache.get("a", list)


def test_what_was_not_used_for_the_longest_time_goes_first() -> None:
    cache: Cache[str, str] = Cache(2)
    for key in ("a", "b", "a", "c"):
        cache.get(key, str)

    assert [key for key in "abc" if key in cache] == ["a", "c"]


def test_what_is_too_heavy_together_is_not_kept() -> None:
    cache: Cache[str, str] = Cache(100, heaviest=10)
    for key, weight in (("a", 4), ("b", 4), ("c", 3)):
        cache.get(key, str)
        cache.weigh(key, weight)

    assert ([key for key in "abc" if key in cache], cache.weight) == (["b", "c"], 7)


def test_the_last_is_kept_however_heavy_it_is() -> None:
    cache: Cache[str, str] = Cache(100, heaviest=10)
    for key, weight in (("a", 4), ("b", 400)):
        cache.get(key, str)
        cache.weigh(key, weight)

    assert (list(cache), cache.weight, "b" in cache) == ([""], 400, True)


def test_a_weight_that_changes_counts_once() -> None:
    cache: Cache[str, str] = Cache(100, heaviest=10)
    for weight in (9, 10, 3, 8):
        cache.get("a", str)
        cache.weigh("a", weight)

    assert cache.weight == 8


def test_the_weight_of_what_is_gone_is_forgotten() -> None:
    cache: Cache[int, str] = Cache(3, heaviest=1000)
    for number in range(50):
        cache.get(number, str)
        cache.weigh(number, 5)
    cache.weigh(0, 900)

    assert (len(cache), cache.weight) == (3, 15)
