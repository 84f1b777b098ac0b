"""The fields of an object: its PATCH, and what a form says about them."""

from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from core.errors import Invalid
from core.fields import FieldKind, Fields, Label, Name, Patch, ShortText
from services.agents import AgentUpdate
from services.boards import BoardGroupUpdate, BoardUpdate
from services.channels import ChannelUpdate
from services.custom_fields import CustomFieldUpdate
from services.gateways import GatewayCreate, GatewayUpdate
from services.identity import ApiTokenCreate
from services.organizations import OrganizationCreate
from services.saved_views import SavedViewUpdate
from services.skills import SkillPackUpload
from services.tags import TagUpdate
from services.tasks import TaskUpdate
from web.ui.forms import Form
from web.ui.object_forms import build_form_fields, list_edited_fields


class ThingCreate(Fields):
    """A new thing."""

    name: Annotated[Name, Label("Name", FieldKind.LINE)]
    note: Annotated[ShortText | None, Label("Note", FieldKind.TEXT)] = None
    size: Annotated[int, Label("Size", error="Write a size.")] = 3
    is_open: Annotated[bool, Label("Open")] = True
    board_ids: Annotated[list[UUID], Label("Boards")] = []
    default: Annotated[Any, Label("Default")] = None
    secret: ShortText = "s"


class ThingUpdate(ThingCreate, Patch):
    """Changes of a thing."""

    descriptions = {"note": "Blank removes it."}


def test_a_patch_has_the_given_fields_in_the_order_of_the_model() -> None:
    changes = ThingUpdate.of(note=None, name=" New ").changes()
    assert list(changes.items()) == [("name", "New"), ("note", None)]
    assert ThingUpdate.of(note="a", size=1).without({"note"}).changes() == {"size": 1}


def test_a_patch_needs_a_field_and_no_particular_one() -> None:
    for nothing in (ThingUpdate.of(), ThingUpdate.of(other=1), ThingUpdate.of(size=1)):
        with pytest.raises(Invalid) as error:
            nothing.without({"size"}).changes()
        assert error.value.code == "nothing_to_change"
    assert ThingCreate.model_fields["name"].is_required()


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (ApiTokenCreate, "name"),
        (BoardGroupUpdate, "name"),
        (BoardUpdate, "name"),
        (ChannelUpdate, "name"),
        (CustomFieldUpdate, "label"),
        (OrganizationCreate, "name"),
        (SavedViewUpdate, "name"),
        (SkillPackUpload, "pack_name"),
        (TagUpdate, "name"),
        (TaskUpdate, "title"),
    ],
)
def test_names_have_only_characters_that_are_shown(fields: type[Fields], name: str) -> None:
    for given, stored in [
        ("\u202egnp\u200b", "gnp"),
        (" Two\r\nlines\t", "Two lines"),
        ("👩\u200d💻 Team", "👩\u200d💻 Team"),  # a joiner that is needed
        (
            "\U0001f3f3\ufe0f\u200d\U0001f308 Team",
            "\U0001f3f3\ufe0f\u200d\U0001f308 Team",
        ),  # likewise, after a selector
    ]:
        assert getattr(fields.parse({name: given}), name) == stored
    for given, code in [("\u200b\u2066", "blank"), ("x" * 501, "too_long"), (5, "field_invalid")]:
        with pytest.raises(Invalid) as error:
            fields.parse({name: given})
        assert error.value.code == code


@pytest.mark.parametrize("fields", [AgentUpdate, GatewayUpdate])
def test_names_that_refuse_control_characters_have_no_fillers(fields: type[AgentUpdate]) -> None:
    assert fields.of(name="A\u3164d\u2800a").name == "Ada"
    for given in ("\u202eAda", "A\nda", "\u3164"):
        with pytest.raises(Invalid) as error:
            fields.of(name=given)
        assert error.value.code == "bad_character"


@pytest.mark.parametrize(
    "wrong", [{"name": None}, {"name": ""}, {"size": None}, {"note": "x" * 201}]
)
def test_a_patch_has_the_limits_of_a_new_object(wrong: dict[str, Any]) -> None:
    for model, others in [(ThingUpdate, {}), (ThingCreate, {"name": "A"})]:
        with pytest.raises(ValidationError):
            model.model_validate({**others, **wrong})


def test_a_patch_publishes_no_defaults_and_its_own_descriptions() -> None:
    schema = ThingUpdate.model_json_schema()
    assert schema["minProperties"] == 1
    assert not schema.get("required")
    assert not any("default" in field for field in schema["properties"].values())
    assert schema["properties"]["note"]["description"] == "Blank removes it."
    assert ThingCreate.model_json_schema()["properties"]["size"]["default"] == 3


def test_a_form_reads_only_fields_with_a_label() -> None:
    form = Form({"name": [" A "], "secret": ["mine"], "size": ["7"], "is_open": ["on"]})
    fields = form.parse(ThingCreate)
    assert (fields.name, fields.secret, fields.size, fields.is_open) == ("A", "s", 7, True)
    assert form.parse(ThingCreate, {"secret": "given"}).secret == "given"


def test_in_a_form_blank_is_null_and_a_missing_box_is_off() -> None:
    fields = Form({"name": ["A"], "note": [" "], "default": [" L "]}).parse(ThingUpdate)
    assert fields.changes() == {
        "name": "A",
        "note": None,
        "is_open": False,
        "board_ids": [],
        "default": " L ",
    }


def test_a_field_has_its_own_error_except_if_it_is_missing_or_too_long() -> None:
    form = Form({"name": ["x" * 201], "size": ["many"]})
    with pytest.raises(Invalid):
        form.parse(ThingCreate)
    assert form.errors == {"name": "At most 200 characters.", "size": "Write a size."}
    form = Form({"name": [" "], "size": [""]})
    with pytest.raises(Invalid):
        form.parse(ThingCreate)
    assert form.errors == {"name": "Enter a name.", "size": "Enter a value."}


def test_a_form_shows_what_was_submitted_or_else_the_current_values() -> None:
    row = ThingCreate(name="Old", note="Mine", is_open=False)
    edited = list_edited_fields(ThingUpdate, row, {"board_ids": ["1"]})
    assert [one.name for one in edited] == [
        *("name", "note", "size", "is_open", "board_ids", "default")
    ]
    shown = build_form_fields(Form(), ThingCreate, edited)
    assert (shown["name"].value, shown["is_open"].value) == ("Old", False)
    assert shown["board_ids"].value == ["1"]
    assert shown["note"] == ("note", "Note", "Mine", "", False, True, 200)
    assert (shown["name"].is_required, shown["name"].max_length) == (True, 200)
    assert build_form_fields(Form(), ThingCreate)["size"].value == "3"
    submitted = build_form_fields(Form({"name": ["New"]}), ThingCreate, edited)
    assert (submitted["name"].value, submitted["note"].value) == ("New", "")


def test_an_invalid_value_does_not_hide_the_errors_of_other_fields() -> None:
    form = Form({"name": [""], "url": ["nonsense"], "workspace_root": ["~"]})
    with form.catch_errors():
        form.parse(GatewayCreate)
    assert form.code == "form_invalid"
    assert form.errors.keys() == {"name", "url"}
    alone = Form({"name": ["Workshop"], "url": ["nonsense"], "workspace_root": ["~"]})
    with alone.catch_errors():
        alone.parse(GatewayCreate)
    assert (alone.code, alone.errors) == ("url_invalid", {"url": form.errors["url"]})
