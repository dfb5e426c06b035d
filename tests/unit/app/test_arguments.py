"""A signature check accepts exactly what the function accepts."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.app.arguments import parameters_of, signature_check

# These exist for their signatures only.


def none() -> None: ...
def two(a: Any, b: Any) -> None: ...
def defaults(a: Any, b: Any = object(), *, c: Any = None) -> None: ...  # noqa: B008
def only_named(*, a: Any, b: Any = 1) -> None: ...
def positional_only(a: Any, /, b: Any) -> None: ...
def all_positional_only(a: Any, b: Any = 1, /) -> None: ...
def rest(a: Any, *rest: Any) -> None: ...
def names(a: Any, **names: Any) -> None: ...
def everything(a: Any, /, b: Any, c: Any = 1, *rest: Any, d: Any, **names: Any) -> None: ...


FUNCTIONS: list[Callable[..., None]] = [
    none,
    two,
    defaults,
    only_named,
    positional_only,
    all_positional_only,
    rest,
    names,
    everything,
]

calls = st.tuples(
    st.lists(st.integers(), max_size=5),
    st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e"]), st.integers(), max_size=4),
)


@given(st.sampled_from(FUNCTIONS), calls)
def test_a_check_agrees_with_the_function(
    function: Callable[..., None], call: tuple[list[int], dict[str, int]]
) -> None:
    args, kwargs = call
    check = signature_check(list(inspect.signature(function).parameters.values()), "task")
    try:
        function(*args, **kwargs)
    except TypeError:
        with pytest.raises(TypeError):
            check(*args, **kwargs)
    else:
        check(*args, **kwargs)


def test_the_error_names_the_function_and_the_argument() -> None:
    check = signature_check(list(inspect.signature(two).parameters.values()), "resize")
    with pytest.raises(TypeError, match=r"resize\(\) missing 1 required positional argument: 'b'"):
        check(1)


def test_a_bound_function_is_called_without_its_first_argument() -> None:
    found = parameters_of(two, bound=True)
    assert found is not None
    assert [one.name for one in found] == ["b"]


def test_a_bound_function_that_takes_the_task_among_the_rest_keeps_them_all() -> None:
    def anything(*args: Any) -> None: ...

    found = parameters_of(anything, bound=True)
    assert found is not None
    assert [one.name for one in found] == ["args"]


def test_a_function_that_does_not_tell_its_parameters_has_none() -> None:
    def secretive() -> None: ...

    vars(secretive)["__signature__"] = "unknown"
    assert parameters_of(secretive, bound=False) is None
