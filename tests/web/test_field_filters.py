"""The board filtered by custom fields."""

import pytest

from models import FieldType, Visibility
from tests.web.test_task_fields import add_field, task

__all__ = ["add_field", "task"]


@pytest.mark.parametrize(
    ("type", "value", "matching", "others"),
    [
        (FieldType.TEXT, "Très large", ["large", "TRÈS"], ["small", "%", "_"]),
        (FieldType.INTEGER, 3, ["3"], ["33", "x", "-3", "9e99", "1" * 40]),
        (FieldType.DECIMAL, 2.0, ["2", "2.0"], ["2.5"]),
        (FieldType.BOOLEAN, True, ["true", "True"], ["false", "tru"]),
        (FieldType.DATE, "2026-12-24", ["2026-12-24", "2026-12"], ["2026-11"]),
        (FieldType.JSON, {"customer": "Tern"}, ["tern"], ["plover"]),
    ],
)
async def test_a_board_is_filtered_by_a_custom_field(
    alice, add_field, task, world, type, value, matching, others
) -> None:
    await add_field("size", value, task, field_type=type)
    board = f"/boards/{world.board.id}"
    for view in ("board", "list"):
        for typed in matching:
            query = {"view": view, "field": "size", "value": typed}
            assert f'id="task-{task.id}"' in (await alice.get(board, params=query)).text, typed
        for typed in others:
            query = {"view": view, "field": "size", "value": typed}
            assert f'id="task-{task.id}"' not in (await alice.get(board, params=query)).text, typed
    for query in ("?field=size", "?value=x", "?field=size&value=%00"):
        assert f'id="task-{task.id}"' in (await alice.get(board + query)).text
    unknown = (await alice.get(f"{board}?field=nothing&value=x")).text
    assert f'id="task-{task.id}"' not in unknown
    assert "Show all" in unknown


async def test_the_filter_of_a_field_has_an_input_of_its_type(alice, add_field, world) -> None:
    await add_field("size", field_type=FieldType.BOOLEAN)
    await add_field("day", field_type=FieldType.DATE, default_value="2026-12-24")
    await add_field("secret", ui_visibility=Visibility.HIDDEN)
    board = f"/boards/{world.board.id}"
    page = (await alice.get(board)).text
    assert 'id="filter-field"' in page
    assert 'id="filter-value"' not in page
    assert "Secret" not in page
    page = (await alice.get(f"{board}?field=size&value=true")).text
    assert '<option value="true" selected>' in page
    assert "More <b>1</b>" in page
    page = (await alice.get(f"{board}?field=day")).text
    assert 'name="value" type="date"' in page


async def test_a_default_counts_as_the_value_in_filters(alice, add_field, task, world) -> None:
    await add_field("size", default_value="Medium")
    page = (await alice.get(f"/boards/{world.board.id}?field=size&value=medium")).text
    assert f'id="task-{task.id}"' in page


async def test_another_field_is_not_filtered_by_the_value_before(
    alice, add_field, task, world
) -> None:
    await add_field("size", "Large", task)
    await add_field("urgent", field_type=FieldType.BOOLEAN)
    board, sent = f"/boards/{world.board.id}", {"field": "size", "value": "small"}
    page = (await alice.get(board, params=sent)).text
    assert f'id="task-{task.id}"' not in page
    assert 'name="value_of" value="size"' in page
    sent |= {"field": "urgent", "value_of": "size"}
    assert f'id="task-{task.id}"' in (await alice.get(board, params=sent)).text
