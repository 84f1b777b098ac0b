"""Custom fields of an organization's tasks: definitions and values."""

from services.custom_fields.commands import (
    CustomFieldCreate,
    CustomFieldUpdate,
    create_custom_field,
    delete_custom_field,
    update_custom_field,
)
from services.custom_fields.queries import (
    TASK_FIELDS,
    CustomFieldDetail,
    TaskField,
    count_field_values,
    get_custom_field,
    list_custom_fields,
    list_task_fields,
    load_field_labels,
    lock_custom_field,
)
from services.custom_fields.rules import (
    check_definition,
    compile_regex,
    find_value_error,
    parse_text,
)
from services.custom_fields.task_values import (
    BoundField,
    bound_fields_query,
    build_bound_fields,
    build_filter_parameters,
    check_values,
    diff_values,
    filter_valid_rows,
    find_missing_keys,
    list_bound_fields,
    list_patterned,
    run_check,
    store_initial_values,
    store_values,
    task_values_query,
    value_filter,
)
