-- The schema of release 1.0.0. Later changes are migrations in versions/. "public" stands for the schema of the
-- installation: functions name their tables with it, because they do not depend on the search path of a caller.

SET LOCAL check_function_bodies = false; -- they name tables that are created below

CREATE FUNCTION announce_agent_news() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin
        -- the columns of a row are looked up when a condition is evaluated, all at once
        if tg_table_name <> 'tasks' then
            if new.agent_id is not null then
                perform pg_notify('mission_control', 'agent-news:' || new.agent_id);
            end if;
        elsif new.assigned_agent_id is null then
            perform pg_notify('mission_control', 'board-tasks:' || new.board_id);
        else
            perform pg_notify('mission_control', 'agent-news:' || new.assigned_agent_id);
        end if;
        return null;
    end $$;

CREATE FUNCTION announce_rights() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    declare
        changed jsonb := case tg_op when 'INSERT' then to_jsonb(new) else to_jsonb(old) end;
        actor text := changed ->> tg_argv[0];
    begin
        if tg_argv[0] = 'organization_member_id' then
            select user_id into actor from organization_members where id = actor::uuid;
        end if;
        if actor is not null then
            perform pg_notify('mission_control', 'rights:' || actor);
        end if;
        return null;
    end $$;

CREATE FUNCTION announce_tool_decision() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin
        perform pg_notify('mission_control', 'tool-decision:' || new.id);
        return null;
    end $$;

CREATE FUNCTION append_audit_record() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO pg_catalog, public, pg_temp
    AS $$
    declare
        last record;
    begin
        perform pg_advisory_xact_lock(
            hashtextextended(coalesce(new.organization_id::text, 'installation'), 0)
        );
        if new.organization_id is null then
            select sequence, hash into last from public.audit_records
            where organization_id is null order by sequence desc limit 1;
        else
            select sequence, hash into last from public.audit_records
            where organization_id = new.organization_id order by sequence desc limit 1;
        end if;
        new.sequence := coalesce(last.sequence, 0) + 1;
        new.previous_hash := coalesce(last.hash, repeat('0', 64));
        new.at := clock_timestamp();
        new.hash := encode(sha256(convert_to(public.canonical_json(
            to_jsonb(new) - 'hash' || jsonb_build_object(
                'at', to_char(new.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            )
        ), 'UTF8')), 'hex');
        return new;
    end $$;

CREATE FUNCTION canonical_json(given jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
    begin
        if jsonb_typeof(given) = 'object' then
            return '{' || coalesce((
                select string_agg(
                    to_json(key)::text || ':' || canonical_json(value), ',' order by key collate "C"
                ) from jsonb_each(given)
            ), '') || '}';
        elsif jsonb_typeof(given) = 'array' then
            return '[' || coalesce((
                select string_agg(canonical_json(value), ',' order by position)
                from jsonb_array_elements(given) with ordinality as items (value, position)
            ), '') || ']';
        end if;
        return given::text;
    end $$;

CREATE FUNCTION count_activity_events_at_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin 
    if not exists (
        select from changed_rows join public.organizations on organizations.id = organization_id
    ) then return null; end if;
    
    insert into public.event_counts as kept (organization_id, board_id, type, count)
    select organization_id, board_id, type, sum(sign) from (select *, -1 as sign from changed_rows) changed
    where exists (select from public.organizations where id = changed.organization_id)
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (organization_id, board_id, type) do update set count = kept.count + excluded.count;

    if exists (select from changed_rows where agent_id is not null) then 
    insert into public.agent_event_counts as kept
        (agent_id, organization_id, board_id, type, count)
    select agent_id, organization_id, board_id, type, sum(sign) from (select *, -1 as sign from changed_rows) changed
    where agent_id is not null
        and exists (select from public.organizations where id = changed.organization_id)
    group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (agent_id, organization_id, board_id, type)
        do update set count = kept.count + excluded.count;
 end if;
    if exists (select from changed_rows where type in ('task.created', 'task.status_changed', 'task.deleted', 'task.restored')) then 
    insert into public.task_move_hours as kept
        (organization_id, board_id, hour, left_status, entered_status, count)
    select organization_id, board_id, date_trunc('hour', created_at, 'UTC'),
        data ->> 'left', data ->> 'entered', sum(sign)
    from (select *, -1 as sign from changed_rows) changed
    where board_id is not null and type in ('task.created', 'task.status_changed', 'task.deleted', 'task.restored')
        and exists (select from public.organizations where id = changed.organization_id)
    group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
    on conflict (board_id, hour, left_status, entered_status)
        do update set count = kept.count + excluded.count;
 end if;
    if exists (select from changed_rows where type in ('message.sent', 'message.acknowledged', 'message.failed')) then 
    with touched as (
        select distinct board_id, data ->> 'message_id' as message_id from (select *, -1 as sign from changed_rows) changed
        where board_id is not null and type in ('message.sent', 'message.acknowledged', 'message.failed') and data ->> 'message_id' is not null
    ),
    ended as (
        select known.organization_id, touched.board_id, touched.message_id, known.type, known.seq,
            known.created_at, changed.id is not null as is_changed
        from touched join (select *, data ->> 'message_id' as message_id from public.activity_events where data ->> 'message_id' is not null union all select *, data ->> 'message_id' from changed_rows) known using (board_id, message_id)
        left join (select *, -1 as sign from changed_rows) changed on changed.id = known.id
        where known.type in ('message.sent', 'message.acknowledged', 'message.failed')
    ),
    chosen as (
        select * from ended,
            (values (false), (true)) moments (is_before),
            (values (false), (true)) kinds (only_failed)
        where not (is_before and is_changed) and (not only_failed or type = 'message.failed')
    ),
    steps as (
        select organization_id, board_id, only_failed, created_at, lag(created_at) over (
            partition by is_before, only_failed, board_id, message_id order by created_at, seq
        ) as previous_at, case when is_before then -1 else 1 end as sign
        from chosen
    )
    insert into public.message_hours as kept
        (organization_id, board_id, only_failed, hour, previous_hour, count)
    select organization_id, board_id, only_failed, date_trunc('hour', created_at, 'UTC'),
        date_trunc('hour', previous_at, 'UTC'), sum(sign) * -1
    from steps
    where exists (select from public.organizations where id = steps.organization_id)
    group by 1, 2, 3, 4, 5 having sum(sign) <> 0 order by 1, 2, 3, 4, 5
    on conflict (board_id, only_failed, hour, previous_hour)
        do update set count = kept.count + excluded.count;
 end if;
 return null; end $$;

CREATE FUNCTION count_activity_events_at_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin 
    if not exists (
        select from changed_rows join public.organizations on organizations.id = organization_id
    ) then return null; end if;
    
    insert into public.event_counts as kept (organization_id, board_id, type, count)
    select organization_id, board_id, type, sum(sign) from (select *, 1 as sign from changed_rows) changed
    where exists (select from public.organizations where id = changed.organization_id)
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (organization_id, board_id, type) do update set count = kept.count + excluded.count;

    if exists (select from changed_rows where agent_id is not null) then 
    insert into public.agent_event_counts as kept
        (agent_id, organization_id, board_id, type, count)
    select agent_id, organization_id, board_id, type, sum(sign) from (select *, 1 as sign from changed_rows) changed
    where agent_id is not null
        and exists (select from public.organizations where id = changed.organization_id)
    group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (agent_id, organization_id, board_id, type)
        do update set count = kept.count + excluded.count;
 end if;
    if exists (select from changed_rows where type in ('task.created', 'task.status_changed', 'task.deleted', 'task.restored')) then 
    insert into public.task_move_hours as kept
        (organization_id, board_id, hour, left_status, entered_status, count)
    select organization_id, board_id, date_trunc('hour', created_at, 'UTC'),
        data ->> 'left', data ->> 'entered', sum(sign)
    from (select *, 1 as sign from changed_rows) changed
    where board_id is not null and type in ('task.created', 'task.status_changed', 'task.deleted', 'task.restored')
        and exists (select from public.organizations where id = changed.organization_id)
    group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
    on conflict (board_id, hour, left_status, entered_status)
        do update set count = kept.count + excluded.count;
 end if;
    if exists (select from changed_rows where type in ('message.sent', 'message.acknowledged', 'message.failed')) then 
    with touched as (
        select distinct board_id, data ->> 'message_id' as message_id from (select *, 1 as sign from changed_rows) changed
        where board_id is not null and type in ('message.sent', 'message.acknowledged', 'message.failed') and data ->> 'message_id' is not null
    ),
    ended as (
        select known.organization_id, touched.board_id, touched.message_id, known.type, known.seq,
            known.created_at, changed.id is not null as is_changed
        from touched join (select *, data ->> 'message_id' as message_id from public.activity_events where data ->> 'message_id' is not null) known using (board_id, message_id)
        left join (select *, 1 as sign from changed_rows) changed on changed.id = known.id
        where known.type in ('message.sent', 'message.acknowledged', 'message.failed')
    ),
    chosen as (
        select * from ended,
            (values (false), (true)) moments (is_before),
            (values (false), (true)) kinds (only_failed)
        where not (is_before and is_changed) and (not only_failed or type = 'message.failed')
    ),
    steps as (
        select organization_id, board_id, only_failed, created_at, lag(created_at) over (
            partition by is_before, only_failed, board_id, message_id order by created_at, seq
        ) as previous_at, case when is_before then -1 else 1 end as sign
        from chosen
    )
    insert into public.message_hours as kept
        (organization_id, board_id, only_failed, hour, previous_hour, count)
    select organization_id, board_id, only_failed, date_trunc('hour', created_at, 'UTC'),
        date_trunc('hour', previous_at, 'UTC'), sum(sign) * 1
    from steps
    where exists (select from public.organizations where id = steps.organization_id)
    group by 1, 2, 3, 4, 5 having sum(sign) <> 0 order by 1, 2, 3, 4, 5
    on conflict (board_id, only_failed, hour, previous_hour)
        do update set count = kept.count + excluded.count;
 end if;
 return null; end $$;

CREATE FUNCTION count_approvals_at_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin 
    insert into public.board_counts as kept (
        board_id, pending_approvals, approved_approvals, rejected_approvals, undecided_approvals,
        decided_approvals
    )
    select board_id,
        coalesce(sum(sign) filter (where status = 'pending'), 0),
        coalesce(sum(sign) filter (where status = 'approved'), 0),
        coalesce(sum(sign) filter (where status = 'rejected'), 0),
        coalesce(sum(sign) filter (where status = 'pending' and decided_status is null), 0),
        coalesce(sum(sign) filter (where coalesce(decided_at, resolved_at) is not null), 0)
    from (select *, -1 as sign from changed_rows) changed
    where exists (select from public.boards where boards.id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set pending_approvals = kept.pending_approvals + excluded.pending_approvals, approved_approvals = kept.approved_approvals + excluded.approved_approvals, rejected_approvals = kept.rejected_approvals + excluded.rejected_approvals, undecided_approvals = kept.undecided_approvals + excluded.undecided_approvals, decided_approvals = kept.decided_approvals + excluded.decided_approvals;
 return null; end $$;

CREATE FUNCTION count_approvals_at_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin 
    insert into public.board_counts as kept (
        board_id, pending_approvals, approved_approvals, rejected_approvals, undecided_approvals,
        decided_approvals
    )
    select board_id,
        coalesce(sum(sign) filter (where status = 'pending'), 0),
        coalesce(sum(sign) filter (where status = 'approved'), 0),
        coalesce(sum(sign) filter (where status = 'rejected'), 0),
        coalesce(sum(sign) filter (where status = 'pending' and decided_status is null), 0),
        coalesce(sum(sign) filter (where coalesce(decided_at, resolved_at) is not null), 0)
    from (select *, 1 as sign from changed_rows) changed
    where exists (select from public.boards where boards.id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set pending_approvals = kept.pending_approvals + excluded.pending_approvals, approved_approvals = kept.approved_approvals + excluded.approved_approvals, rejected_approvals = kept.rejected_approvals + excluded.rejected_approvals, undecided_approvals = kept.undecided_approvals + excluded.undecided_approvals, decided_approvals = kept.decided_approvals + excluded.decided_approvals;
 return null; end $$;

CREATE FUNCTION count_approvals_at_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin 
    insert into public.board_counts as kept (
        board_id, pending_approvals, approved_approvals, rejected_approvals, undecided_approvals,
        decided_approvals
    )
    select board_id,
        coalesce(sum(sign) filter (where status = 'pending'), 0),
        coalesce(sum(sign) filter (where status = 'approved'), 0),
        coalesce(sum(sign) filter (where status = 'rejected'), 0),
        coalesce(sum(sign) filter (where status = 'pending' and decided_status is null), 0),
        coalesce(sum(sign) filter (where coalesce(decided_at, resolved_at) is not null), 0)
    from (select * from (values (old.board_id, old.status, old.decided_status, old.decided_at, old.resolved_at, -1), (new.board_id, new.status, new.decided_status, new.decided_at, new.resolved_at, 1)) as pairs (board_id, status, decided_status, decided_at, resolved_at, sign)) changed
    where exists (select from public.boards where boards.id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set pending_approvals = kept.pending_approvals + excluded.pending_approvals, approved_approvals = kept.approved_approvals + excluded.approved_approvals, rejected_approvals = kept.rejected_approvals + excluded.rejected_approvals, undecided_approvals = kept.undecided_approvals + excluded.undecided_approvals, decided_approvals = kept.decided_approvals + excluded.decided_approvals;
 return null; end $$;

CREATE FUNCTION count_board_group_memory_at_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    insert into public.board_group_counts as kept (board_group_id, notes, chat_messages)
    select board_group_id,
        coalesce(sum(sign) filter (where not is_chat), 0),
        coalesce(sum(sign) filter (where is_chat), 0)
    from (select *, -1 as sign from rows) changed
    where content ~ '\S'
        and exists (select from public.board_groups where id = changed.board_group_id)
    group by board_group_id order by board_group_id
    on conflict (board_group_id) do update set
        notes = kept.notes + excluded.notes,
        chat_messages = kept.chat_messages + excluded.chat_messages;
 return null; end $$;

CREATE FUNCTION count_board_group_memory_at_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    insert into public.board_group_counts as kept (board_group_id, notes, chat_messages)
    select board_group_id,
        coalesce(sum(sign) filter (where not is_chat), 0),
        coalesce(sum(sign) filter (where is_chat), 0)
    from (select *, 1 as sign from rows) changed
    where content ~ '\S'
        and exists (select from public.board_groups where id = changed.board_group_id)
    group by board_group_id order by board_group_id
    on conflict (board_group_id) do update set
        notes = kept.notes + excluded.notes,
        chat_messages = kept.chat_messages + excluded.chat_messages;
 return null; end $$;

CREATE FUNCTION count_board_group_memory_at_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    insert into public.board_group_counts as kept (board_group_id, notes, chat_messages)
    select board_group_id,
        coalesce(sum(sign) filter (where not is_chat), 0),
        coalesce(sum(sign) filter (where is_chat), 0)
    from (select * from (values (old.board_group_id, old.is_chat, old.content, -1), (new.board_group_id, new.is_chat, new.content, 1)) as pairs (board_group_id, is_chat, content, sign)) changed
    where content ~ '\S'
        and exists (select from public.board_groups where id = changed.board_group_id)
    group by board_group_id order by board_group_id
    on conflict (board_group_id) do update set
        notes = kept.notes + excluded.notes,
        chat_messages = kept.chat_messages + excluded.chat_messages;
 return null; end $$;

CREATE FUNCTION count_board_memory_at_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    insert into public.board_counts as kept (board_id, notes, chat_messages)
    select board_id,
        coalesce(sum(sign) filter (where not is_chat), 0),
        coalesce(sum(sign) filter (where is_chat), 0)
    from (select *, -1 as sign from rows) changed
    where content ~ '\S' and exists (select from public.boards where id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set
        notes = kept.notes + excluded.notes,
        chat_messages = kept.chat_messages + excluded.chat_messages;
 return null; end $$;

CREATE FUNCTION count_board_memory_at_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    insert into public.board_counts as kept (board_id, notes, chat_messages)
    select board_id,
        coalesce(sum(sign) filter (where not is_chat), 0),
        coalesce(sum(sign) filter (where is_chat), 0)
    from (select *, 1 as sign from rows) changed
    where content ~ '\S' and exists (select from public.boards where id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set
        notes = kept.notes + excluded.notes,
        chat_messages = kept.chat_messages + excluded.chat_messages;
 return null; end $$;

CREATE FUNCTION count_board_memory_at_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    insert into public.board_counts as kept (board_id, notes, chat_messages)
    select board_id,
        coalesce(sum(sign) filter (where not is_chat), 0),
        coalesce(sum(sign) filter (where is_chat), 0)
    from (select * from (values (old.board_id, old.is_chat, old.content, -1), (new.board_id, new.is_chat, new.content, 1)) as pairs (board_id, is_chat, content, sign)) changed
    where content ~ '\S' and exists (select from public.boards where id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set
        notes = kept.notes + excluded.notes,
        chat_messages = kept.chat_messages + excluded.chat_messages;
 return null; end $$;

CREATE FUNCTION count_changed_dependencies() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin
        if tg_op <> 'INSERT' then
            perform public.count_open_dependencies(array[old.task_id]);
        end if;
        if tg_op <> 'DELETE' then
            perform public.count_open_dependencies(array[new.task_id]);
        end if;
        return null;
    end $$;

CREATE FUNCTION count_dependencies_of_dependents() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin
        perform public.count_open_dependencies(
            array(select task_id from public.task_dependencies where depends_on_task_id = new.id)
        );
        return null;
    end $$;

CREATE FUNCTION count_event_origins_at_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    insert into public.organization_counts as kept (organization_id, communication)
    select event.organization_id, count(*)
    from rows origin join public.activity_events event on event.id = origin.id
    group by 1 order by 1
    on conflict (organization_id)
        do update set communication = kept.communication + excluded.communication;
 return null; end $$;

CREATE FUNCTION count_notifications_at_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    insert into public.notification_counts as kept (user_id, organization_id, kind, board_id, board_group_id, count)
    select user_id, organization_id, kind, board_id, board_group_id, -1 * count(*) from rows changed
    where exists (select from public.users where id = changed.user_id)
        and exists (select from public.organizations where id = changed.organization_id)
        and (
            board_id is null or exists (select from public.boards where id = changed.board_id)
        )
        and (
            board_group_id is null
            or exists (select from public.board_groups where id = changed.board_group_id)
        )
    group by user_id, organization_id, kind, board_id, board_group_id order by user_id, organization_id, kind, board_id, board_group_id
    on conflict (user_id, organization_id, kind, board_id, board_group_id) do update set count = kept.count + excluded.count;
 return null; end $$;

CREATE FUNCTION count_notifications_at_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    insert into public.notification_counts as kept (user_id, organization_id, kind, board_id, board_group_id, count)
    select user_id, organization_id, kind, board_id, board_group_id, 1 * count(*) from rows changed
    where exists (select from public.users where id = changed.user_id)
        and exists (select from public.organizations where id = changed.organization_id)
        and (
            board_id is null or exists (select from public.boards where id = changed.board_id)
        )
        and (
            board_group_id is null
            or exists (select from public.board_groups where id = changed.board_group_id)
        )
    group by user_id, organization_id, kind, board_id, board_group_id order by user_id, organization_id, kind, board_id, board_group_id
    on conflict (user_id, organization_id, kind, board_id, board_group_id) do update set count = kept.count + excluded.count;
 return null; end $$;

CREATE FUNCTION count_open_dependencies(ids uuid[]) RETURNS void
    LANGUAGE sql
    AS $$
        update public.tasks set open_dependency_count = coalesce(counted.number, 0)
        from unnest(ids) as changed (id)
        left join (
    select task_id, count(*) as number
    from public.task_dependencies
    join public.tasks as other on other.id = depends_on_task_id
    where other.status <> 'done' and task_id = any(ids)
    group by task_id
) as counted on counted.task_id = changed.id
        where tasks.id = changed.id and open_dependency_count <> coalesce(counted.number, 0)
    $$;

CREATE FUNCTION count_tag_assignments_at_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    update public.tag_counts kept set tasks = kept.tasks - removed.tasks
    from (
        select assigned.tag_id, task.board_id, count(*) as tasks
        from rows assigned join public.tasks task on task.id = assigned.task_id
        group by 1, 2
    ) removed
    where kept.tag_id = removed.tag_id and kept.board_id = removed.board_id;
 return null; end $$;

CREATE FUNCTION count_tag_assignments_at_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    insert into public.tag_counts as kept (tag_id, board_id, tasks)
    select assigned.tag_id, task.board_id, count(*)
    from rows assigned join public.tasks task on task.id = assigned.task_id
    group by 1, 2 order by 1, 2
    on conflict (tag_id, board_id) do update set tasks = kept.tasks + excluded.tasks;
 return null; end $$;

CREATE FUNCTION count_tags_of_deleted_task() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin 
    if exists (select from public.boards where id = old.board_id) then
        update public.tag_counts set tasks = tasks - 1
        where board_id = old.board_id
            and tag_id in (select tag_id from public.tag_assignments where task_id = old.id);
    end if;
 return old; end $$;

CREATE FUNCTION count_task_comments_at_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin 
    insert into public.board_counts as kept (board_id, comments)
    select board_id, sum(sign) from (select *, -1 as sign from changed_rows) changed
    where exists (select from public.boards where boards.id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set comments = kept.comments + excluded.comments;
 return null; end $$;

CREATE FUNCTION count_task_comments_at_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin 
    insert into public.board_counts as kept (board_id, comments)
    select board_id, sum(sign) from (select *, 1 as sign from changed_rows) changed
    where exists (select from public.boards where boards.id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set comments = kept.comments + excluded.comments;
 return null; end $$;

CREATE FUNCTION count_tasks_at_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin 
    insert into public.board_counts as kept
        (board_id, inbox_tasks, in_progress_tasks, review_tasks, done_tasks)
    select board_id,
        coalesce(sum(sign) filter (where status = 'inbox'), 0),
        coalesce(sum(sign) filter (where status = 'in_progress'), 0),
        coalesce(sum(sign) filter (where status = 'review'), 0),
        coalesce(sum(sign) filter (where status = 'done'), 0)
    from (select *, -1 as sign from changed_rows) changed
    where exists (select from public.boards where boards.id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set inbox_tasks = kept.inbox_tasks + excluded.inbox_tasks, in_progress_tasks = kept.in_progress_tasks + excluded.in_progress_tasks, review_tasks = kept.review_tasks + excluded.review_tasks, done_tasks = kept.done_tasks + excluded.done_tasks;

    insert into public.done_task_hours as kept (board_id, hour, scale, tasks, cycle_hours)
    select board_id, date_trunc('hour', done_at, 'UTC'), scale(hours), sum(sign), sum(sign * hours)
    from (
        select *, extract(epoch from done_at - started_at) / 3600 as hours from (select *, -1 as sign from changed_rows) changed
        where status = 'done' and done_at is not null
    ) done
    where exists (select from public.boards where boards.id = done.board_id)
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (board_id, hour, scale) do update set
        tasks = kept.tasks + excluded.tasks, cycle_hours = kept.cycle_hours + excluded.cycle_hours;
 return null; end $$;

CREATE FUNCTION count_tasks_at_insert() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin 
    insert into public.board_counts as kept
        (board_id, inbox_tasks, in_progress_tasks, review_tasks, done_tasks)
    select board_id,
        coalesce(sum(sign) filter (where status = 'inbox'), 0),
        coalesce(sum(sign) filter (where status = 'in_progress'), 0),
        coalesce(sum(sign) filter (where status = 'review'), 0),
        coalesce(sum(sign) filter (where status = 'done'), 0)
    from (select *, 1 as sign from changed_rows) changed
    where exists (select from public.boards where boards.id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set inbox_tasks = kept.inbox_tasks + excluded.inbox_tasks, in_progress_tasks = kept.in_progress_tasks + excluded.in_progress_tasks, review_tasks = kept.review_tasks + excluded.review_tasks, done_tasks = kept.done_tasks + excluded.done_tasks;

    insert into public.done_task_hours as kept (board_id, hour, scale, tasks, cycle_hours)
    select board_id, date_trunc('hour', done_at, 'UTC'), scale(hours), sum(sign), sum(sign * hours)
    from (
        select *, extract(epoch from done_at - started_at) / 3600 as hours from (select *, 1 as sign from changed_rows) changed
        where status = 'done' and done_at is not null
    ) done
    where exists (select from public.boards where boards.id = done.board_id)
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (board_id, hour, scale) do update set
        tasks = kept.tasks + excluded.tasks, cycle_hours = kept.cycle_hours + excluded.cycle_hours;
 return null; end $$;

CREATE FUNCTION count_tasks_at_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin 
    insert into public.board_counts as kept
        (board_id, inbox_tasks, in_progress_tasks, review_tasks, done_tasks)
    select board_id,
        coalesce(sum(sign) filter (where status = 'inbox'), 0),
        coalesce(sum(sign) filter (where status = 'in_progress'), 0),
        coalesce(sum(sign) filter (where status = 'review'), 0),
        coalesce(sum(sign) filter (where status = 'done'), 0)
    from (select * from (values (old.board_id, old.status, old.done_at, old.started_at, -1), (new.board_id, new.status, new.done_at, new.started_at, 1)) as pairs (board_id, status, done_at, started_at, sign)) changed
    where exists (select from public.boards where boards.id = changed.board_id)
    group by board_id order by board_id
    on conflict (board_id) do update set inbox_tasks = kept.inbox_tasks + excluded.inbox_tasks, in_progress_tasks = kept.in_progress_tasks + excluded.in_progress_tasks, review_tasks = kept.review_tasks + excluded.review_tasks, done_tasks = kept.done_tasks + excluded.done_tasks;

    insert into public.done_task_hours as kept (board_id, hour, scale, tasks, cycle_hours)
    select board_id, date_trunc('hour', done_at, 'UTC'), scale(hours), sum(sign), sum(sign * hours)
    from (
        select *, extract(epoch from done_at - started_at) / 3600 as hours from (select * from (values (old.board_id, old.status, old.done_at, old.started_at, -1), (new.board_id, new.status, new.done_at, new.started_at, 1)) as pairs (board_id, status, done_at, started_at, sign)) changed
        where status = 'done' and done_at is not null
    ) done
    where exists (select from public.boards where boards.id = done.board_id)
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (board_id, hour, scale) do update set
        tasks = kept.tasks + excluded.tasks, cycle_hours = kept.cycle_hours + excluded.cycle_hours;
 return null; end $$;

CREATE FUNCTION delete_audit_chain(chain uuid, keep_days integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO pg_catalog, public, pg_temp
    AS $$
    declare
        deleted bigint;
    begin
        if keep_days is null or keep_days < 30 then
            raise exception 'the audit of a deleted organization is kept for at least 30 days';
        end if;
        if exists (select from public.organizations where id = chain) or exists (
            select from public.audit_records where organization_id = chain
            and at > clock_timestamp() - make_interval(days => keep_days)
        ) then
            return 0;
        end if;
        perform set_config('mission_control.deleted_chain', chain::text, true);
        delete from public.audit_records where organization_id = chain;
        get diagnostics deleted = row_count;
        perform set_config('mission_control.deleted_chain', '', true);
        return deleted;
    end $$;

CREATE FUNCTION hash_gateway_requests() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin
        new.sha256 := coalesce(new.sha256, sha256_of(new.exact));
        
        new.title := coalesce(new.title, title_of_gateway_request(new.kind, new.exact));
        new.is_masked := coalesce(new.is_masked,
            is_masked_gateway_request(new.sha256, new.exact, new.cwd, new.context));

        return new;
    end $$;

CREATE FUNCTION is_masked_gateway_request(sha256 character varying, exact character varying, cwd character varying, context jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
        select sha256 <> sha256_of(exact)
            and concat(exact, cwd, context::text) ~ 'mc_[a-z]+_\*\*\*'
    $$;

CREATE FUNCTION keep_gateway_requests() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin
        if (old.organization_id, old.request_id, old.kind, old.agent_key, old.session_key,
            old.run_id, old.exact, old.cwd, old.context, old.allowed_decisions, old.asked_at)
            is distinct from
            (new.organization_id, new.request_id, new.kind, new.agent_key, new.session_key,
            new.run_id, new.exact, new.cwd, new.context, new.allowed_decisions, new.asked_at)
            or new.gateway_id <> old.gateway_id
            or (
                (old.title, old.sha256, old.is_masked, old.content)
                is distinct from (new.title, new.sha256, new.is_masked, new.content)
                and not (old.content is null and new.content is not null
                    and old.state = 'waiting' and old.title = new.title)
            )
        then
            raise exception 'what was asked is never changed';
        end if;
        if old.answered_at is not null and (
            (old.answer, old.answered_by, old.answered_at)
            is distinct from (new.answer, new.answered_by, new.answered_at)
            or new.answered_by_user_id <> old.answered_by_user_id)
        then
            raise exception 'what was answered is never changed';
        end if;
        return new;
    end $$;

CREATE FUNCTION pairs_of_unspaced(content character varying) RETURNS character varying
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((content)::text ~ '[ぁ-ヿ㐀-䶿一-鿿豈-﫿]'::text) THEN (regexp_replace(regexp_replace("left"((content)::text, 40000), '([ぁ-ヿ㐀-䶿一-鿿豈-﫿]+)'::text, ' \1 '::text, 'g'::text), '([ぁ-ヿ㐀-䶿一-鿿豈-﫿])'::text, '\1 \1'::text, 'g'::text))::character varying ELSE content END;

CREATE FUNCTION protect_audit_records() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO pg_catalog, public, pg_temp
    AS $$
    begin
        -- Every role can set the setting; only delete_audit_chain runs as the owner of the table.
        if tg_op = 'DELETE' then
            if current_setting('mission_control.deleted_chain', true) = old.organization_id::text
                and current_user = (
                    select pg_get_userbyid(relowner) from pg_class where oid = tg_relid
                )
            then
                return old;
            end if;
        end if;
        raise exception 'audit records are never changed or deleted'
            using errcode = 'insufficient_privilege';
    end $$;

CREATE FUNCTION sha256_of(said character varying) RETURNS character varying
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN encode(sha256(convert_to((said)::text, 'UTF8'::name)), 'hex'::text);

CREATE FUNCTION start_without_dependencies() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    begin
        new.open_dependency_count := 0;
        return new;
    end $$;

CREATE FUNCTION title_of_gateway_request(kind character varying, exact character varying) RETURNS character varying
    LANGUAGE plpgsql IMMUTABLE
    AS $$
    declare title varchar := exact;
    begin
        begin
            if kind = 'plugin' then
                title := exact::jsonb ->> 'title';
            elsif kind = 'question' then
                title := exact::jsonb -> 0 ->> 'question';
            end if;
        exception when others then  -- JSON that the database cannot read
            title := exact;
        end;
        title := regexp_replace(left(coalesce(title, exact), 10000), '\s+', ' ', 'g');
        return left(btrim(title), 200);
    end $$;

CREATE FUNCTION words_of(title character varying, body character varying, more character varying) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (setweight(to_tsvector('simple'::regconfig, (pairs_of_unspaced((regexp_replace("left"((COALESCE(title, ''::character varying))::text, 100000), '[!"#$%&''()*+,\-./:;<=>?@\[\\\]\^_`{|}~¡¿«»‹›“”„‘’‚–—…·•→← 、。，！？：；（）「」『』]'::text, ' '::text, 'g'::text))::character varying))::text), 'A'::"char") || to_tsvector('simple'::regconfig, (pairs_of_unspaced((regexp_replace("left"((((COALESCE(body, ''::character varying))::text || ' '::text) || (COALESCE(more, ''::character varying))::text), 100000), '[!"#$%&''()*+,\-./:;<=>?@\[\\\]\^_`{|}~¡¿«»‹›“”„‘’‚–—…·•→← 、。，！？：；（）「」『』]'::text, ' '::text, 'g'::text))::character varying))::text));

CREATE TABLE activity_events (
    id uuid NOT NULL,
    seq bigint GENERATED BY DEFAULT AS IDENTITY,
    type varchar(40) NOT NULL,
    organization_id uuid NOT NULL,
    board_id uuid,
    task_id uuid,
    approval_id uuid,
    agent_id uuid,
    user_id uuid,
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_activity_events PRIMARY KEY (id),
    CONSTRAINT uq_activity_events_seq UNIQUE (seq)
);
CREATE INDEX ix_activity_events_agent_deletions ON activity_events (agent_id, seq) WHERE (((type)::text || ''::text) = 'agent.deleted'::text);
CREATE INDEX ix_activity_events_agent_id_created_at ON activity_events (agent_id, created_at);
CREATE INDEX ix_activity_events_agent_id_seq ON activity_events (agent_id, seq);
CREATE INDEX ix_activity_events_board_id_created_at ON activity_events (board_id, created_at);
CREATE INDEX ix_activity_events_board_id_seq ON activity_events (board_id, seq);
CREATE INDEX ix_activity_events_board_id_type_created_at ON activity_events (board_id, type, created_at);
CREATE INDEX ix_activity_events_board_id_type_seq ON activity_events (board_id, type, seq);
CREATE INDEX ix_activity_events_message_id ON activity_events (((data ->> 'message_id'::text)));
CREATE INDEX ix_activity_events_organization_id_seq ON activity_events (organization_id, seq);
CREATE INDEX ix_activity_events_task_id_created_at ON activity_events (task_id, created_at);
CREATE INDEX ix_activity_events_type_created_at ON activity_events (type, created_at);
CREATE TRIGGER count_activity_events_at_delete AFTER DELETE ON activity_events REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_activity_events_at_delete();
CREATE TRIGGER count_activity_events_at_insert AFTER INSERT ON activity_events REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_activity_events_at_insert();

CREATE TABLE agent_event_counts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    agent_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    board_id uuid,
    type varchar(40) NOT NULL,
    count bigint NOT NULL,
    CONSTRAINT pk_agent_event_counts PRIMARY KEY (id),
    CONSTRAINT uq_agent_event_counts_key UNIQUE NULLS NOT DISTINCT (agent_id, organization_id, board_id, type)
) WITH (fillfactor='50');
CREATE INDEX ix_agent_event_counts_organization_id ON agent_event_counts (organization_id);

CREATE TABLE agent_file_versions (
    id uuid NOT NULL,
    agent_id uuid NOT NULL,
    name varchar NOT NULL,
    content varchar NOT NULL,
    digest varchar NOT NULL,
    author varchar NOT NULL,
    user_id uuid,
    created_at timestamptz NOT NULL,
    CONSTRAINT ck_agent_file_versions_author CHECK (author IN ('user'::varchar, 'agent'::varchar, 'sync'::varchar, 'gateway'::varchar)),
    CONSTRAINT pk_agent_file_versions PRIMARY KEY (id)
);
CREATE INDEX ix_agent_file_versions_agent_id_name_created_at ON agent_file_versions (agent_id, name, created_at);
CREATE INDEX ix_agent_file_versions_user_id ON agent_file_versions (user_id);

CREATE TABLE agent_messages (
    id uuid NOT NULL,
    seq bigint GENERATED BY DEFAULT AS IDENTITY,
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    board_id uuid,
    task_id uuid,
    approval_id uuid,
    kind varchar NOT NULL,
    content varchar NOT NULL,
    deliver boolean NOT NULL,
    key varchar NOT NULL,
    from_agent_id uuid,
    from_user_id uuid,
    delivery_events jsonb,
    state varchar(40) NOT NULL,
    attempts integer NOT NULL,
    last_error varchar,
    waiting_since timestamptz,
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    acknowledged_at timestamptz,
    next_attempt_at timestamptz,
    turn_number integer DEFAULT 1 NOT NULL,
    lost_count integer DEFAULT 0 NOT NULL,
    CONSTRAINT ck_agent_messages_last_error CHECK ((state <> 'failed') OR (last_error IS NOT NULL)),
    CONSTRAINT ck_agent_messages_state CHECK (state IN ('queued'::varchar, 'sent'::varchar, 'acknowledged'::varchar, 'failed'::varchar)),
    CONSTRAINT ck_agent_messages_turn_number CHECK (turn_number > 0),
    CONSTRAINT pk_agent_messages PRIMARY KEY (id),
    CONSTRAINT uq_agent_messages_agent_id_key UNIQUE (agent_id, key),
    CONSTRAINT uq_agent_messages_seq UNIQUE (seq)
);
CREATE INDEX ix_agent_messages_agent_id_created_at ON agent_messages (agent_id, created_at);
CREATE INDEX ix_agent_messages_agent_id_state_seq ON agent_messages (agent_id, state, seq);
CREATE INDEX ix_agent_messages_approval_id ON agent_messages (approval_id);
CREATE INDEX ix_agent_messages_board_id ON agent_messages (board_id);
CREATE INDEX ix_agent_messages_organization_id ON agent_messages (organization_id);
CREATE INDEX ix_agent_messages_state_waiting_since ON agent_messages (state, waiting_since);
CREATE INDEX ix_agent_messages_task_id ON agent_messages (task_id);
CREATE TRIGGER announce_messages AFTER INSERT ON agent_messages FOR EACH ROW EXECUTE FUNCTION announce_agent_news();

CREATE TABLE agent_questions (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    task_id uuid,
    agent_id uuid NOT NULL,
    content varchar NOT NULL,
    correlation_id varchar,
    answer varchar,
    answered_by_user_id uuid,
    created_at timestamptz NOT NULL,
    answered_at timestamptz,
    CONSTRAINT ck_agent_questions_ck_agent_questions_answer CHECK ((answer IS NULL) = (answered_at IS NULL)),
    CONSTRAINT pk_agent_questions PRIMARY KEY (id)
);
CREATE INDEX ix_agent_questions_agent_id ON agent_questions (agent_id);
CREATE INDEX ix_agent_questions_answered_by_user_id ON agent_questions (answered_by_user_id);
CREATE INDEX ix_agent_questions_board_id_created_at ON agent_questions (board_id, created_at);
CREATE INDEX ix_agent_questions_open ON agent_questions (board_id) WHERE (answered_at IS NULL);
CREATE INDEX ix_agent_questions_task_id ON agent_questions (task_id);

CREATE TABLE agent_runs (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    gateway_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    task_id uuid,
    run_id varchar NOT NULL,
    session_key varchar NOT NULL,
    is_heartbeat boolean NOT NULL,
    status varchar(40) NOT NULL,
    phase varchar,
    tool varchar,
    tool_title varchar,
    tool_calls jsonb NOT NULL,
    tail varchar NOT NULL,
    tokens integer,
    error varchar,
    started_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT ck_agent_runs_ended_at CHECK ((status = 'running') = (ended_at IS NULL)),
    CONSTRAINT ck_agent_runs_status CHECK (status IN ('running'::varchar, 'ended'::varchar, 'failed'::varchar, 'aborted'::varchar, 'lost'::varchar)),
    CONSTRAINT pk_agent_runs PRIMARY KEY (id),
    CONSTRAINT uq_agent_runs_gateway_id_run_id UNIQUE (gateway_id, run_id)
);
CREATE INDEX ix_agent_runs_agent_id_started_at ON agent_runs (agent_id, started_at);
CREATE INDEX ix_agent_runs_of_messages ON agent_runs (agent_id, "left"((run_id)::text, 36));
CREATE INDEX ix_agent_runs_organization_id ON agent_runs (organization_id);
CREATE INDEX ix_agent_runs_status_updated_at ON agent_runs (status, updated_at);
CREATE INDEX ix_agent_runs_task_id_started_at ON agent_runs (task_id, started_at);

CREATE TABLE agent_tokens (
    id uuid NOT NULL,
    agent_id uuid NOT NULL,
    prefix varchar NOT NULL,
    secret_hash varchar NOT NULL,
    created_at timestamptz NOT NULL,
    first_used_at timestamptz,
    encrypted_token varchar,
    ended_at timestamptz,
    expires_at timestamptz,
    CONSTRAINT pk_agent_tokens PRIMARY KEY (id)
);
CREATE INDEX ix_agent_tokens_agent_id ON agent_tokens (agent_id);
CREATE INDEX ix_agent_tokens_prefix ON agent_tokens (prefix);
CREATE TRIGGER announce_rights AFTER DELETE OR UPDATE OF ended_at ON agent_tokens FOR EACH ROW EXECUTE FUNCTION announce_rights('agent_id');

CREATE TABLE agents (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    board_id uuid,
    gateway_id uuid,
    name varchar NOT NULL,
    status varchar NOT NULL,
    openclaw_session_id varchar,
    agent_token_hash varchar,
    heartbeat_config jsonb,
    identity_profile jsonb,
    identity_template varchar,
    soul_template varchar,
    is_board_lead boolean NOT NULL,
    last_seen_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    is_linked boolean DEFAULT false NOT NULL,
    listed_at timestamptz,
    desired_state varchar(40),
    generation integer DEFAULT 0 NOT NULL,
    observed_generation integer DEFAULT 0 NOT NULL,
    step varchar(40),
    step_attempts integer DEFAULT 0 NOT NULL,
    next_step_at timestamptz,
    step_deadline_at timestamptz,
    provision_failure jsonb,
    wants_wake boolean DEFAULT false NOT NULL,
    woken_at timestamptz,
    wake_attempts integer DEFAULT 0 NOT NULL,
    checkin_deadline_at timestamptz,
    provisioning_state jsonb DEFAULT '{}' NOT NULL,
    held_at timestamptz,
    hold jsonb,
    released_at timestamptz,
    step_error jsonb,
    next_heartbeat_at timestamptz,
    token_expires_at timestamptz,
    token_days integer,
    CONSTRAINT ck_agents_hold CHECK ((held_at IS NULL) = (hold IS NULL)),
    CONSTRAINT pk_agents PRIMARY KEY (id)
);
CREATE INDEX ix_agents_board_id ON agents (board_id);
CREATE INDEX ix_agents_gateway_id ON agents (gateway_id);
CREATE INDEX ix_agents_name ON agents (name);
CREATE INDEX ix_agents_names ON agents (organization_id, lower((name)::text), id);
CREATE INDEX ix_agents_names_on_board ON agents (board_id, lower((name)::text), id);
CREATE INDEX ix_agents_openclaw_session_id ON agents (openclaw_session_id);
CREATE INDEX ix_agents_organization_id ON agents (organization_id);
CREATE INDEX ix_agents_status ON agents (status);
CREATE UNIQUE INDEX uq_agents_linked_once ON agents (gateway_id, openclaw_session_id) WHERE is_linked;
CREATE UNIQUE INDEX uq_agents_one_lead_per_board ON agents (board_id) WHERE is_board_lead;
CREATE UNIQUE INDEX uq_agents_one_main_per_gateway ON agents (gateway_id) WHERE (board_id IS NULL);
CREATE TRIGGER announce_rights AFTER DELETE OR UPDATE OF board_id, gateway_id, agent_token_hash ON agents FOR EACH ROW EXECUTE FUNCTION announce_rights('id');

CREATE TABLE api_tokens (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    name varchar NOT NULL,
    prefix varchar NOT NULL,
    secret_hash varchar NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz,
    scope varchar DEFAULT 'write' NOT NULL,
    expires_at timestamptz,
    CONSTRAINT pk_api_tokens PRIMARY KEY (id)
);
CREATE INDEX ix_api_tokens_prefix ON api_tokens (prefix);
CREATE INDEX ix_api_tokens_user_id ON api_tokens (user_id);
CREATE TRIGGER announce_rights AFTER DELETE ON api_tokens FOR EACH ROW EXECUTE FUNCTION announce_rights('user_id');

CREATE TABLE approval_policies (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    board_id uuid,
    rules jsonb NOT NULL,
    version integer NOT NULL,
    updated_by_user_id uuid,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_approval_policies PRIMARY KEY (id),
    CONSTRAINT uq_approval_policies_board_id UNIQUE (board_id)
);
CREATE INDEX ix_approval_policies_organization_id ON approval_policies (organization_id);
CREATE INDEX ix_approval_policies_updated_by_user_id ON approval_policies (updated_by_user_id);
CREATE UNIQUE INDEX uq_approval_policies_organization_id ON approval_policies (organization_id) WHERE (board_id IS NULL);

CREATE TABLE approval_task_links (
    id uuid NOT NULL,
    approval_id uuid NOT NULL,
    task_id uuid NOT NULL,
    "position" integer NOT NULL,
    created_at timestamptz NOT NULL,
    content jsonb,
    content_hash varchar,
    used_at timestamptz,
    CONSTRAINT pk_approval_task_links PRIMARY KEY (id),
    CONSTRAINT uq_approval_task_links_approval_id_task_id UNIQUE (approval_id, task_id)
);
CREATE INDEX ix_approval_task_links_approval_id ON approval_task_links (approval_id);
CREATE INDEX ix_approval_task_links_task_id ON approval_task_links (task_id);

CREATE TABLE approvals (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    task_id uuid,
    agent_id uuid,
    requested_by_user_id uuid,
    action_type varchar NOT NULL,
    payload jsonb,
    confidence double precision NOT NULL,
    rubric_scores jsonb,
    status varchar(40) NOT NULL,
    decided_status varchar(40),
    decided_by_user_id uuid,
    decided_at timestamptz,
    decision_note varchar,
    finalizes_at timestamptz,
    clarification_requested_at timestamptz,
    created_at timestamptz NOT NULL,
    resolved_at timestamptz,
    action_hash varchar,
    completes_tasks boolean,
    expires_at timestamptz,
    request_count integer DEFAULT 1 NOT NULL,
    policy_verdict jsonb,
    is_decided_by_policy boolean DEFAULT false NOT NULL,
    first_approver_id uuid,
    first_approved_at timestamptz,
    first_approval_note varchar,
    first_approval_hash varchar,
    first_approval_completes_tasks boolean,
    moves_tasks_to_done boolean DEFAULT false NOT NULL,
    completion_error varchar,
    reminded_at timestamptz,
    undone_by_user_id uuid,
    undone_status varchar,
    undone_note varchar,
    requested_hash varchar,
    lapsed_status varchar,
    lapsed_user_id uuid,
    risk varchar,
    equality_hash varchar,
    is_tool_call boolean DEFAULT false NOT NULL,
    CONSTRAINT ck_approvals_confidence CHECK ((confidence >= (0)::double precision) AND (confidence <= (100)::double precision)),
    CONSTRAINT ck_approvals_resolved_at CHECK ((status = 'pending') = (resolved_at IS NULL)),
    CONSTRAINT ck_approvals_status CHECK (status IN ('pending'::varchar, 'approved'::varchar, 'rejected'::varchar)),
    CONSTRAINT pk_approvals PRIMARY KEY (id)
);
CREATE INDEX ix_approvals_agent_id_created_at ON approvals (agent_id, created_at);
CREATE INDEX ix_approvals_board_id ON approvals (board_id);
CREATE INDEX ix_approvals_board_id_created_at ON approvals (board_id, created_at);
CREATE INDEX ix_approvals_board_id_status ON approvals (board_id, status);
CREATE INDEX ix_approvals_board_id_status_created_at ON approvals (board_id, status, created_at);
CREATE INDEX ix_approvals_decided ON approvals (board_id, COALESCE(decided_at, resolved_at));
CREATE INDEX ix_approvals_decided_by_user_id ON approvals (decided_by_user_id);
CREATE INDEX ix_approvals_expires_at ON approvals (expires_at);
CREATE INDEX ix_approvals_finalizes_at ON approvals (finalizes_at);
CREATE INDEX ix_approvals_first_approver_id ON approvals (first_approver_id);
CREATE INDEX ix_approvals_lapsed_user_id ON approvals (lapsed_user_id) WHERE (lapsed_user_id IS NOT NULL);
CREATE INDEX ix_approvals_requested_by_user_id ON approvals (requested_by_user_id);
CREATE INDEX ix_approvals_status ON approvals (status);
CREATE INDEX ix_approvals_task_id ON approvals (task_id);
CREATE INDEX ix_approvals_tool_calls ON approvals (created_at) WHERE is_tool_call;
CREATE INDEX ix_approvals_undecided ON approvals (board_id, created_at, id) WHERE ((status = 'pending') AND (decided_status IS NULL));
CREATE INDEX ix_approvals_undecided_restricted ON approvals (board_id) WHERE ((status = 'pending') AND (decided_status IS NULL) AND ((policy_verdict IS NOT NULL) OR (first_approver_id IS NOT NULL)));
CREATE INDEX ix_approvals_undone_by_user_id ON approvals (undone_by_user_id) WHERE (undone_by_user_id IS NOT NULL);
CREATE TRIGGER announce_decisions AFTER UPDATE OF status ON approvals FOR EACH ROW WHEN (old.status::text IS DISTINCT FROM new.status::text) EXECUTE FUNCTION announce_agent_news();
CREATE TRIGGER announce_tool_decision AFTER UPDATE OF status ON approvals FOR EACH ROW WHEN (new.is_tool_call AND (old.status::text IS DISTINCT FROM new.status::text)) EXECUTE FUNCTION announce_tool_decision();
CREATE TRIGGER count_approvals_at_delete AFTER DELETE ON approvals REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_approvals_at_delete();
CREATE TRIGGER count_approvals_at_insert AFTER INSERT ON approvals REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_approvals_at_insert();
CREATE TRIGGER count_approvals_at_update AFTER UPDATE ON approvals FOR EACH ROW WHEN (((((old.board_id IS DISTINCT FROM new.board_id) OR (old.status::text IS DISTINCT FROM new.status::text)) OR (old.decided_status::text IS DISTINCT FROM new.decided_status::text)) OR (old.decided_at IS DISTINCT FROM new.decided_at)) OR (old.resolved_at IS DISTINCT FROM new.resolved_at)) EXECUTE FUNCTION count_approvals_at_update();

CREATE TABLE audit_records (
    id uuid NOT NULL,
    organization_id uuid,
    sequence bigint NOT NULL,
    at timestamptz NOT NULL,
    actor_kind varchar NOT NULL,
    actor_id uuid,
    actor_name varchar,
    credential varchar,
    credential_id varchar,
    address varchar,
    action varchar NOT NULL,
    object_kind varchar NOT NULL,
    object_id varchar,
    object_name varchar,
    cause varchar,
    event_id uuid,
    before jsonb,
    after jsonb,
    previous_hash varchar NOT NULL,
    hash varchar NOT NULL,
    CONSTRAINT ck_audit_records_sequence CHECK (sequence > 0),
    CONSTRAINT pk_audit_records PRIMARY KEY (id),
    CONSTRAINT uq_audit_records_organization_id_sequence UNIQUE NULLS NOT DISTINCT (organization_id, sequence)
);
CREATE INDEX ix_audit_records_of_installation ON audit_records (sequence) WHERE (organization_id IS NULL);
CREATE INDEX ix_audit_records_organization_id_action_sequence ON audit_records (organization_id, action, sequence);
CREATE INDEX ix_audit_records_organization_id_actor_id_sequence ON audit_records (organization_id, actor_id, sequence);
CREATE INDEX ix_audit_records_organization_id_object_id_sequence ON audit_records (organization_id, object_id, sequence);
CREATE TRIGGER append BEFORE INSERT ON audit_records FOR EACH ROW EXECUTE FUNCTION append_audit_record();
CREATE TRIGGER protect BEFORE DELETE OR UPDATE ON audit_records FOR EACH ROW EXECUTE FUNCTION protect_audit_records();
CREATE TRIGGER protect_all BEFORE TRUNCATE ON audit_records FOR EACH STATEMENT EXECUTE FUNCTION protect_audit_records();

CREATE TABLE board_counts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    board_id uuid NOT NULL,
    inbox_tasks integer DEFAULT 0 NOT NULL,
    in_progress_tasks integer DEFAULT 0 NOT NULL,
    review_tasks integer DEFAULT 0 NOT NULL,
    done_tasks integer DEFAULT 0 NOT NULL,
    pending_approvals integer DEFAULT 0 NOT NULL,
    approved_approvals integer DEFAULT 0 NOT NULL,
    rejected_approvals integer DEFAULT 0 NOT NULL,
    undecided_approvals integer DEFAULT 0 NOT NULL,
    decided_approvals integer DEFAULT 0 NOT NULL,
    comments integer DEFAULT 0 NOT NULL,
    notes integer DEFAULT 0 NOT NULL,
    chat_messages integer DEFAULT 0 NOT NULL,
    CONSTRAINT pk_board_counts PRIMARY KEY (id),
    CONSTRAINT uq_board_counts_board_id UNIQUE (board_id)
) WITH (fillfactor='50');
CREATE INDEX ix_board_counts_undecided ON board_counts (board_id) WHERE (undecided_approvals > 0);

CREATE TABLE board_group_counts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    board_group_id uuid NOT NULL,
    notes integer DEFAULT 0 NOT NULL,
    chat_messages integer DEFAULT 0 NOT NULL,
    CONSTRAINT pk_board_group_counts PRIMARY KEY (id),
    CONSTRAINT uq_board_group_counts_board_group_id UNIQUE (board_group_id)
);

CREATE TABLE board_group_memory (
    id uuid NOT NULL,
    board_group_id uuid NOT NULL,
    content varchar NOT NULL,
    tags jsonb,
    is_chat boolean NOT NULL,
    source varchar,
    agent_id uuid,
    user_id uuid,
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    words tsvector GENERATED ALWAYS AS (words_of(NULL::varchar, content, NULL::varchar)) STORED,
    CONSTRAINT pk_board_group_memory PRIMARY KEY (id)
);
CREATE INDEX ix_board_group_memory_board_group_id ON board_group_memory (board_group_id);
CREATE INDEX ix_board_group_memory_board_group_id_is_chat_created_at ON board_group_memory (board_group_id, is_chat, created_at);
CREATE INDEX ix_board_group_memory_shown ON board_group_memory (board_group_id, created_at, id, is_chat) WHERE ((content)::text ~ '\S'::text);
CREATE INDEX ix_board_group_memory_words ON board_group_memory USING gin (words);
CREATE TRIGGER count_board_group_memory_at_delete AFTER DELETE ON board_group_memory REFERENCING OLD TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION count_board_group_memory_at_delete();
CREATE TRIGGER count_board_group_memory_at_insert AFTER INSERT ON board_group_memory REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION count_board_group_memory_at_insert();
CREATE TRIGGER count_board_group_memory_at_update AFTER UPDATE ON board_group_memory FOR EACH ROW WHEN (((old.board_group_id IS DISTINCT FROM new.board_group_id) OR (old.is_chat IS DISTINCT FROM new.is_chat)) OR (old.content::text IS DISTINCT FROM new.content::text)) EXECUTE FUNCTION count_board_group_memory_at_update();

CREATE TABLE board_groups (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    name varchar NOT NULL,
    slug varchar NOT NULL,
    description varchar,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_board_groups PRIMARY KEY (id),
    CONSTRAINT uq_board_groups_organization_id_slug UNIQUE (organization_id, slug)
);
CREATE INDEX ix_board_groups_organization_id ON board_groups (organization_id);

CREATE TABLE board_memory (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    content varchar NOT NULL,
    tags jsonb,
    is_chat boolean NOT NULL,
    source varchar,
    agent_id uuid,
    user_id uuid,
    created_at timestamptz NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    updated_at timestamptz NOT NULL,
    words tsvector GENERATED ALWAYS AS (words_of(NULL::varchar, content, NULL::varchar)) STORED,
    CONSTRAINT pk_board_memory PRIMARY KEY (id)
);
CREATE INDEX ix_board_memory_board_id ON board_memory (board_id);
CREATE INDEX ix_board_memory_board_id_is_chat_created_at ON board_memory (board_id, is_chat, created_at);
CREATE INDEX ix_board_memory_shown ON board_memory (board_id, created_at, id, is_chat) WHERE ((content)::text ~ '\S'::text);
CREATE INDEX ix_board_memory_words ON board_memory USING gin (words);
CREATE TRIGGER count_board_memory_at_delete AFTER DELETE ON board_memory REFERENCING OLD TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION count_board_memory_at_delete();
CREATE TRIGGER count_board_memory_at_insert AFTER INSERT ON board_memory REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION count_board_memory_at_insert();
CREATE TRIGGER count_board_memory_at_update AFTER UPDATE ON board_memory FOR EACH ROW WHEN (((old.board_id IS DISTINCT FROM new.board_id) OR (old.is_chat IS DISTINCT FROM new.is_chat)) OR (old.content::text IS DISTINCT FROM new.content::text)) EXECUTE FUNCTION count_board_memory_at_update();

CREATE TABLE board_onboarding_messages (
    id uuid NOT NULL,
    session_id uuid NOT NULL,
    seq bigint GENERATED BY DEFAULT AS IDENTITY,
    role varchar(40) NOT NULL,
    content varchar NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_board_onboarding_messages PRIMARY KEY (id),
    CONSTRAINT uq_board_onboarding_messages_seq UNIQUE (seq)
);
CREATE INDEX ix_board_onboarding_messages_session_id_seq ON board_onboarding_messages (session_id, seq);

CREATE TABLE board_onboarding_sessions (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    session_key varchar NOT NULL,
    status varchar(40) NOT NULL,
    draft_goal jsonb,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT ck_board_onboarding_sessions_status CHECK (status IN ('active'::varchar, 'completed'::varchar, 'confirmed'::varchar, 'cancelled'::varchar)),
    CONSTRAINT pk_board_onboarding_sessions PRIMARY KEY (id)
);
CREATE INDEX ix_board_onboarding_sessions_board_id ON board_onboarding_sessions (board_id);
CREATE UNIQUE INDEX uq_board_onboarding_sessions_one_open ON board_onboarding_sessions (board_id) WHERE (status IN ('active', 'completed'));

CREATE TABLE board_shortcuts (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    board_id uuid NOT NULL,
    pin_position integer,
    opened_at timestamptz,
    CONSTRAINT ck_board_shortcuts_reason CHECK ((pin_position IS NOT NULL) OR (opened_at IS NOT NULL)),
    CONSTRAINT pk_board_shortcuts PRIMARY KEY (id),
    CONSTRAINT uq_board_shortcuts_user_id_board_id UNIQUE (user_id, board_id)
);
CREATE INDEX ix_board_shortcuts_board_id ON board_shortcuts (board_id);
CREATE INDEX ix_board_shortcuts_user_id_opened_at ON board_shortcuts (user_id, opened_at);

CREATE TABLE board_task_custom_fields (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    task_custom_field_definition_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_board_task_custom_fields PRIMARY KEY (id),
    CONSTRAINT uq_board_task_custom_fields_pair UNIQUE (board_id, task_custom_field_definition_id)
);
CREATE INDEX ix_board_task_custom_fields_board_id ON board_task_custom_fields (board_id);
CREATE INDEX ix_board_task_custom_fields_task_custom_field_definition_id ON board_task_custom_fields (task_custom_field_definition_id);

CREATE TABLE board_webhook_payloads (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    delivery_id varchar,
    payload jsonb NOT NULL,
    headers jsonb NOT NULL,
    source_ip varchar NOT NULL,
    content_type varchar,
    size integer NOT NULL,
    received_at timestamptz NOT NULL,
    state varchar(40) NOT NULL,
    error varchar,
    note_id uuid,
    task_id uuid,
    message_id uuid,
    is_queued boolean DEFAULT false NOT NULL,
    CONSTRAINT ck_board_webhook_payloads_ck_board_webhook_payloads_error CHECK ((state <> 'failed') OR (error IS NOT NULL)),
    CONSTRAINT pk_board_webhook_payloads PRIMARY KEY (id),
    CONSTRAINT uq_board_webhook_payloads_webhook_id_delivery_id UNIQUE (webhook_id, delivery_id)
);
CREATE INDEX ix_board_webhook_payloads_board_id ON board_webhook_payloads (board_id);
CREATE INDEX ix_board_webhook_payloads_message_id ON board_webhook_payloads (message_id);
CREATE INDEX ix_board_webhook_payloads_queued ON board_webhook_payloads (webhook_id, received_at, id) WHERE is_queued;
CREATE INDEX ix_board_webhook_payloads_received_at ON board_webhook_payloads (received_at);
CREATE INDEX ix_board_webhook_payloads_webhook_id_received_at ON board_webhook_payloads (webhook_id, received_at);

CREATE TABLE board_webhooks (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    agent_id uuid,
    description varchar NOT NULL,
    enabled boolean NOT NULL,
    encrypted_secret varchar NOT NULL,
    encrypted_previous_secret varchar,
    previous_secret_expires_at timestamptz,
    signature_header varchar,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    action varchar(40) DEFAULT 'notify' NOT NULL,
    template jsonb,
    last_rejected_at timestamptz,
    last_rejection varchar,
    CONSTRAINT pk_board_webhooks PRIMARY KEY (id)
);
CREATE INDEX ix_board_webhooks_agent_id ON board_webhooks (agent_id);
CREATE INDEX ix_board_webhooks_board_id_created_at ON board_webhooks (board_id, created_at);

CREATE TABLE boards (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    name varchar NOT NULL,
    slug varchar NOT NULL,
    description varchar NOT NULL,
    gateway_id uuid,
    board_group_id uuid,
    board_type varchar NOT NULL,
    objective varchar,
    success_metrics jsonb,
    target_date timestamptz,
    goal_confirmed boolean NOT NULL,
    goal_source varchar,
    require_approval_for_done boolean NOT NULL,
    require_review_before_done boolean NOT NULL,
    comment_required_for_review boolean NOT NULL,
    block_status_changes_with_pending_approval boolean NOT NULL,
    only_lead_can_change_status boolean NOT NULL,
    max_agents integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    paused_at timestamptz,
    version integer DEFAULT 1 NOT NULL,
    stale_after_minutes integer DEFAULT 240,
    remind_after_minutes integer DEFAULT 60,
    workers_may_ask_people boolean DEFAULT false NOT NULL,
    words tsvector GENERATED ALWAYS AS (words_of(name, description, objective)) STORED,
    CONSTRAINT ck_boards_max_agents CHECK (max_agents >= 0),
    CONSTRAINT pk_boards PRIMARY KEY (id),
    CONSTRAINT uq_boards_organization_id_slug UNIQUE (organization_id, slug)
);
CREATE INDEX ix_boards_board_group_id ON boards (board_group_id);
CREATE INDEX ix_boards_board_type ON boards (board_type);
CREATE INDEX ix_boards_gateway_id ON boards (gateway_id);
CREATE INDEX ix_boards_names ON boards (organization_id, lower((name)::text), created_at DESC, id);
CREATE INDEX ix_boards_organization_id ON boards (organization_id);
CREATE INDEX ix_boards_slug ON boards (slug);
CREATE INDEX ix_boards_words ON boards USING gin (words);

CREATE TABLE bulk_task_changes (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    user_id uuid NOT NULL,
    is_deletion boolean NOT NULL,
    tasks jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_bulk_task_changes PRIMARY KEY (id)
);
CREATE INDEX ix_bulk_task_changes_board_id ON bulk_task_changes (board_id);
CREATE INDEX ix_bulk_task_changes_created_at ON bulk_task_changes (created_at);
CREATE INDEX ix_bulk_task_changes_user_id ON bulk_task_changes (user_id);

CREATE TABLE client_connections (
    id uuid NOT NULL,
    agent_id uuid NOT NULL,
    client varchar(40) NOT NULL,
    version varchar,
    hook_at timestamptz,
    mcp_at timestamptz,
    telemetry_at timestamptz,
    held_seconds double precision,
    cut_seconds double precision,
    test_requested_at timestamptz,
    created_at timestamptz NOT NULL,
    disconnected_at timestamptz,
    CONSTRAINT pk_client_connections PRIMARY KEY (id),
    CONSTRAINT uq_client_connections_agent_id_client UNIQUE (agent_id, client)
);

CREATE TABLE coding_sessions (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    board_id uuid,
    agent_id uuid NOT NULL,
    task_id uuid,
    client varchar(40) NOT NULL,
    session_key varchar NOT NULL,
    cwd varchar,
    model varchar,
    state varchar(40) NOT NULL,
    started_at timestamptz NOT NULL,
    last_call_at timestamptz,
    last_signal_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT ck_coding_sessions_state CHECK (state IN ('working'::varchar, 'idle'::varchar, 'ended'::varchar)),
    CONSTRAINT pk_coding_sessions PRIMARY KEY (id),
    CONSTRAINT uq_coding_sessions_agent_id_client_session_key UNIQUE (agent_id, client, session_key)
);
CREATE INDEX ix_coding_sessions_agent_id_last_signal_at ON coding_sessions (agent_id, last_signal_at);
CREATE INDEX ix_coding_sessions_board_id ON coding_sessions (board_id);
CREATE INDEX ix_coding_sessions_last_signal_at ON coding_sessions (last_signal_at);
CREATE INDEX ix_coding_sessions_organization_id ON coding_sessions (organization_id);
CREATE INDEX ix_coding_sessions_task_id ON coding_sessions (task_id);

CREATE TABLE default_views (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    board_id uuid NOT NULL,
    view_id uuid NOT NULL,
    CONSTRAINT pk_default_views PRIMARY KEY (id),
    CONSTRAINT uq_default_views_user_id_board_id UNIQUE (user_id, board_id)
);
CREATE INDEX ix_default_views_board_id ON default_views (board_id);
CREATE INDEX ix_default_views_view_id ON default_views (view_id);

CREATE TABLE done_task_hours (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    board_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    scale integer,
    tasks integer NOT NULL,
    cycle_hours numeric,
    CONSTRAINT pk_done_task_hours PRIMARY KEY (id),
    CONSTRAINT uq_done_task_hours_key UNIQUE NULLS NOT DISTINCT (board_id, hour, scale)
) WITH (fillfactor='50');

CREATE TABLE encryption_keys (
    id uuid NOT NULL,
    fingerprint varchar NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_encryption_keys PRIMARY KEY (id),
    CONSTRAINT uq_encryption_keys_fingerprint UNIQUE (fingerprint)
);

CREATE TABLE event_counts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    board_id uuid,
    type varchar(40) NOT NULL,
    count bigint NOT NULL,
    CONSTRAINT pk_event_counts PRIMARY KEY (id),
    CONSTRAINT uq_event_counts_key UNIQUE NULLS NOT DISTINCT (organization_id, board_id, type)
) WITH (fillfactor='50');
CREATE INDEX ix_event_counts_organization_id ON event_counts (organization_id);

CREATE TABLE event_origins (
    id uuid NOT NULL,
    actor_kind varchar NOT NULL,
    actor_id uuid,
    actor_name varchar,
    credential varchar NOT NULL,
    credential_id varchar,
    address varchar,
    cause varchar,
    CONSTRAINT pk_event_origins PRIMARY KEY (id)
);
CREATE INDEX ix_event_origins_actor_id ON event_origins (actor_id);
CREATE TRIGGER count_event_origins_at_insert AFTER INSERT ON event_origins REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION count_event_origins_at_insert();

CREATE TABLE external_identities (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    issuer varchar NOT NULL,
    subject varchar NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_external_identities PRIMARY KEY (id),
    CONSTRAINT uq_external_identities_issuer_subject UNIQUE (issuer, subject)
);
CREATE INDEX ix_external_identities_user_id ON external_identities (user_id);

CREATE UNLOGGED TABLE failed_attempts (
    id uuid NOT NULL,
    key_hash varchar NOT NULL,
    level double precision NOT NULL,
    updated_at timestamptz NOT NULL,
    next_at timestamptz NOT NULL,
    CONSTRAINT pk_failed_attempts PRIMARY KEY (id),
    CONSTRAINT uq_failed_attempts_key_hash UNIQUE (key_hash)
);
CREATE INDEX ix_failed_attempts_updated_at ON failed_attempts (updated_at);

CREATE TABLE first_run_links (
    id uuid NOT NULL,
    secret_hash varchar NOT NULL,
    created_at timestamptz NOT NULL,
    used_at timestamptz,
    CONSTRAINT pk_first_run_links PRIMARY KEY (id),
    CONSTRAINT uq_first_run_links_secret_hash UNIQUE (secret_hash)
);

CREATE TABLE gateway_config_changes (
    id uuid NOT NULL,
    gateway_id uuid NOT NULL,
    agent_key varchar NOT NULL,
    agent_id uuid,
    agent_name varchar,
    board_id uuid,
    kind varchar NOT NULL,
    diff varchar NOT NULL,
    cause_id uuid,
    created_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    actor_id uuid,
    writes integer DEFAULT 1 NOT NULL,
    CONSTRAINT ck_gateway_config_changes_kind CHECK (kind IN ('added'::varchar, 'changed'::varchar, 'removed'::varchar)),
    CONSTRAINT pk_gateway_config_changes PRIMARY KEY (id)
);
CREATE INDEX ix_gateway_config_changes_gateway_id_actor_id_id ON gateway_config_changes (gateway_id, actor_id, id);
CREATE INDEX ix_gateway_config_changes_gateway_id_agent_key ON gateway_config_changes (gateway_id, agent_key);
CREATE INDEX ix_gateway_config_changes_gateway_id_id ON gateway_config_changes (gateway_id, id);

CREATE TABLE gateway_departures (
    id uuid NOT NULL,
    url varchar NOT NULL,
    allow_insecure_tls boolean NOT NULL,
    disable_device_pairing boolean NOT NULL,
    encrypted_token varchar,
    encrypted_device varchar NOT NULL,
    encrypted_device_token varchar,
    agent_keys jsonb NOT NULL,
    attempts integer NOT NULL,
    next_try_at timestamptz NOT NULL,
    last_error varchar,
    created_at timestamptz NOT NULL,
    allows_private boolean DEFAULT true NOT NULL,
    ca_certificates varchar,
    CONSTRAINT pk_gateway_departures PRIMARY KEY (id)
);

CREATE TABLE gateway_installed_skills (
    id uuid NOT NULL,
    gateway_id uuid NOT NULL,
    skill_id uuid NOT NULL,
    action varchar(40) NOT NULL,
    folder varchar NOT NULL,
    digest varchar,
    installed_digest varchar,
    message_id uuid,
    is_listed boolean,
    requested_at timestamptz NOT NULL,
    checked_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_gateway_installed_skills PRIMARY KEY (id),
    CONSTRAINT uq_gateway_installed_skills_gateway_id_skill_id UNIQUE (gateway_id, skill_id)
);
CREATE INDEX ix_gateway_installed_skills_message_id ON gateway_installed_skills (message_id);
CREATE INDEX ix_gateway_installed_skills_skill_id ON gateway_installed_skills (skill_id);

CREATE TABLE gateway_leftovers (
    id uuid NOT NULL,
    gateway_id uuid NOT NULL,
    agent_key varchar NOT NULL,
    attempts integer NOT NULL,
    next_try_at timestamptz NOT NULL,
    last_error varchar,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_gateway_leftovers PRIMARY KEY (id),
    CONSTRAINT uq_gateway_leftovers_gateway_id_agent_key UNIQUE (gateway_id, agent_key)
);

CREATE TABLE gateway_requests (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    gateway_id uuid,
    gateway_name varchar NOT NULL,
    request_id varchar NOT NULL,
    kind varchar(40) NOT NULL,
    agent_id uuid,
    board_id uuid,
    agent_key varchar,
    session_key varchar,
    run_id varchar,
    exact varchar NOT NULL,
    sha256 varchar NOT NULL,
    cwd varchar,
    context jsonb,
    allowed_decisions jsonb NOT NULL,
    state varchar(40) NOT NULL,
    asked_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    answer jsonb,
    answered_by_user_id uuid,
    answered_by varchar,
    answered_at timestamptz,
    delivered_at timestamptz,
    ended_at timestamptz,
    error varchar,
    created_at timestamptz NOT NULL,
    content jsonb,
    title varchar NOT NULL,
    is_masked boolean NOT NULL,
    CONSTRAINT ck_gateway_requests_answer CHECK ((state NOT IN ('answering'::varchar, 'answered'::varchar)) OR ((answer IS NOT NULL) AND (answered_at IS NOT NULL) AND (answered_by IS NOT NULL))),
    CONSTRAINT ck_gateway_requests_kind CHECK (kind IN ('exec'::varchar, 'question'::varchar, 'plugin'::varchar)),
    CONSTRAINT ck_gateway_requests_state CHECK (state IN ('waiting'::varchar, 'answering'::varchar, 'answered'::varchar, 'lost'::varchar, 'expired'::varchar, 'cancelled'::varchar)),
    CONSTRAINT ck_gateway_requests_waiting CHECK ((state <> 'waiting') OR (answered_at IS NULL)),
    CONSTRAINT pk_gateway_requests PRIMARY KEY (id),
    CONSTRAINT uq_gateway_requests_gateway_id_request_id_sha256 UNIQUE (gateway_id, request_id, sha256)
);
CREATE INDEX ix_gateway_requests_agent_id_run_id ON gateway_requests (agent_id, run_id);
CREATE INDEX ix_gateway_requests_answered_by_user_id ON gateway_requests (answered_by_user_id);
CREATE INDEX ix_gateway_requests_board_id_state ON gateway_requests (board_id, state);
CREATE INDEX ix_gateway_requests_organization_id_created_at ON gateway_requests (organization_id, created_at);
CREATE INDEX ix_gateway_requests_state_expires_at ON gateway_requests (state, expires_at);
CREATE TRIGGER hash BEFORE INSERT ON gateway_requests FOR EACH ROW EXECUTE FUNCTION hash_gateway_requests();
CREATE TRIGGER keep BEFORE UPDATE ON gateway_requests FOR EACH ROW EXECUTE FUNCTION keep_gateway_requests();

CREATE TABLE gateways (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    name varchar NOT NULL,
    url varchar NOT NULL,
    workspace_root varchar NOT NULL,
    allow_insecure_tls boolean NOT NULL,
    disable_device_pairing boolean NOT NULL,
    encrypted_token varchar,
    encrypted_device varchar NOT NULL,
    encrypted_device_token varchar,
    gateway_version varchar,
    checks jsonb,
    checked_at timestamptz,
    lease_holder varchar,
    lease_expires_at timestamptz,
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    allows_private boolean DEFAULT true NOT NULL,
    ca_certificates varchar,
    capabilities jsonb,
    CONSTRAINT ck_gateways_lease CHECK ((lease_holder IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT pk_gateways PRIMARY KEY (id),
    CONSTRAINT uq_gateways_organization_id_name UNIQUE (organization_id, name)
);
CREATE INDEX ix_gateways_url ON gateways (url);

CREATE TABLE idempotency_keys (
    id uuid NOT NULL,
    caller_id uuid NOT NULL,
    key varchar NOT NULL,
    fingerprint varchar NOT NULL,
    encrypted_response varchar,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (id),
    CONSTRAINT uq_idempotency_keys_caller_id_key UNIQUE (caller_id, key)
);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE TABLE kept_forms (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    encrypted_content varchar NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_kept_forms PRIMARY KEY (id)
);
CREATE INDEX ix_kept_forms_created_at ON kept_forms (created_at);
CREATE INDEX ix_kept_forms_user_id ON kept_forms (user_id);

CREATE TABLE marketplace_skills (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    pack_id uuid,
    name varchar NOT NULL,
    description varchar,
    category varchar,
    risk varchar,
    source varchar,
    source_url varchar NOT NULL,
    folder varchar NOT NULL,
    extra jsonb NOT NULL,
    digest varchar,
    revision varchar,
    removed_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_marketplace_skills PRIMARY KEY (id),
    CONSTRAINT uq_marketplace_skills_organization_id_source_url UNIQUE (organization_id, source_url)
);
CREATE INDEX ix_marketplace_skills_organization_id_created_at ON marketplace_skills (organization_id, created_at);
CREATE INDEX ix_marketplace_skills_pack_id ON marketplace_skills (pack_id);

CREATE TABLE message_hours (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    board_id uuid NOT NULL,
    only_failed boolean NOT NULL,
    hour timestamptz NOT NULL,
    previous_hour timestamptz,
    count bigint NOT NULL,
    CONSTRAINT pk_message_hours PRIMARY KEY (id),
    CONSTRAINT uq_message_hours_key UNIQUE NULLS NOT DISTINCT (board_id, only_failed, hour, previous_hour)
) WITH (fillfactor='50');
CREATE INDEX ix_message_hours_organization_id ON message_hours (organization_id);

CREATE TABLE notification_channels (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    kind varchar(40) NOT NULL,
    name varchar NOT NULL,
    encrypted_config varchar NOT NULL,
    paused_at timestamptz,
    confirmed_at timestamptz,
    failing_since timestamptz,
    last_error varchar,
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    is_paused_by_user boolean DEFAULT false NOT NULL,
    CONSTRAINT pk_notification_channels PRIMARY KEY (id)
);
CREATE INDEX ix_notification_channels_organization_id ON notification_channels (organization_id);
CREATE INDEX ix_notification_channels_user_id ON notification_channels (user_id);

CREATE TABLE notification_counts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    kind varchar(40) NOT NULL,
    board_id uuid,
    board_group_id uuid,
    count bigint NOT NULL,
    CONSTRAINT pk_notification_counts PRIMARY KEY (id),
    CONSTRAINT uq_notification_counts_key UNIQUE NULLS NOT DISTINCT (user_id, organization_id, kind, board_id, board_group_id)
) WITH (fillfactor='50');
CREATE INDEX ix_notification_counts_board_group_id ON notification_counts (board_group_id);
CREATE INDEX ix_notification_counts_board_id ON notification_counts (board_id);
CREATE INDEX ix_notification_counts_organization_id ON notification_counts (organization_id);

CREATE TABLE notification_deliveries (
    id uuid NOT NULL,
    notification_id uuid,
    channel_id uuid NOT NULL,
    state varchar(40) NOT NULL,
    is_digest boolean NOT NULL,
    attempts integer NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    last_error varchar,
    request varchar,
    response varchar,
    created_at timestamptz NOT NULL,
    delivered_at timestamptz,
    CONSTRAINT ck_notification_deliveries_last_error CHECK ((state <> 'failed') OR (last_error IS NOT NULL)),
    CONSTRAINT pk_notification_deliveries PRIMARY KEY (id),
    CONSTRAINT uq_notification_deliveries_notification_id_channel_id UNIQUE (notification_id, channel_id)
);
CREATE INDEX ix_notification_deliveries_channel_id_created_at ON notification_deliveries (channel_id, created_at);
CREATE INDEX ix_notification_deliveries_due ON notification_deliveries (next_attempt_at) WHERE (state IN ('queued', 'sending'));
CREATE INDEX ix_notification_deliveries_tests ON notification_deliveries (created_at) WHERE (notification_id IS NULL);

CREATE TABLE notification_preferences (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    kind varchar(40) NOT NULL,
    board_id uuid,
    channel_id uuid,
    is_enabled boolean NOT NULL,
    CONSTRAINT pk_notification_preferences PRIMARY KEY (id),
    CONSTRAINT uq_notification_preferences_choice UNIQUE NULLS NOT DISTINCT (user_id, organization_id, kind, board_id, channel_id)
);
CREATE INDEX ix_notification_preferences_board_id ON notification_preferences (board_id);
CREATE INDEX ix_notification_preferences_channel_id ON notification_preferences (channel_id);
CREATE INDEX ix_notification_preferences_organization_id ON notification_preferences (organization_id);

CREATE TABLE notification_settings (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    quiet_from time without time zone,
    quiet_until time without time zone,
    wakes_for_urgent boolean NOT NULL,
    digest varchar(40) NOT NULL,
    digest_at time without time zone NOT NULL,
    escalate_to_user_id uuid,
    escalate_after_minutes integer,
    version integer NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT ck_notification_settings_quiet_hours CHECK ((quiet_from IS NULL) = (quiet_until IS NULL)),
    CONSTRAINT pk_notification_settings PRIMARY KEY (id),
    CONSTRAINT uq_notification_settings_user_id_organization_id UNIQUE (user_id, organization_id)
);
CREATE INDEX ix_notification_settings_escalate_to_user_id ON notification_settings (escalate_to_user_id);
CREATE INDEX ix_notification_settings_organization_id ON notification_settings (organization_id);

CREATE TABLE notifications (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    kind varchar(40) NOT NULL,
    key varchar,
    merges boolean NOT NULL,
    board_id uuid,
    task_id uuid,
    approval_id uuid,
    agent_id uuid,
    gateway_id uuid,
    actor_user_id uuid,
    actor_agent_id uuid,
    data jsonb NOT NULL,
    count integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    read_at timestamptz,
    resolved_at timestamptz,
    planned_at timestamptz,
    escalated_at timestamptz,
    board_group_id uuid,
    CONSTRAINT pk_notifications PRIMARY KEY (id),
    CONSTRAINT uq_notifications_user_id_kind_key UNIQUE (user_id, kind, key)
);
CREATE INDEX ix_notifications_board_group_id ON notifications (board_group_id);
CREATE INDEX ix_notifications_board_id ON notifications (board_id);
CREATE INDEX ix_notifications_done ON notifications (LEAST(read_at, resolved_at));
CREATE INDEX ix_notifications_kind_key ON notifications (kind, key);
CREATE INDEX ix_notifications_organization_id ON notifications (organization_id);
CREATE INDEX ix_notifications_task_id ON notifications (task_id);
CREATE INDEX ix_notifications_unplanned ON notifications (created_at) WHERE (planned_at IS NULL);
CREATE INDEX ix_notifications_unread ON notifications (user_id, organization_id) WHERE ((read_at IS NULL) AND (resolved_at IS NULL));
CREATE INDEX ix_notifications_updated_at ON notifications (updated_at);
CREATE INDEX ix_notifications_user_id_updated_at_id ON notifications (user_id, updated_at, id);
CREATE TRIGGER count_notifications_at_delete AFTER DELETE ON notifications REFERENCING OLD TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION count_notifications_at_delete();
CREATE TRIGGER count_notifications_at_insert AFTER INSERT ON notifications REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION count_notifications_at_insert();

CREATE TABLE organization_board_access (
    id uuid NOT NULL,
    organization_member_id uuid NOT NULL,
    board_id uuid NOT NULL,
    can_read boolean NOT NULL,
    can_write boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_organization_board_access PRIMARY KEY (id),
    CONSTRAINT uq_organization_board_access_organization_member_id_board_id UNIQUE (organization_member_id, board_id)
);
CREATE INDEX ix_organization_board_access_board_id ON organization_board_access (board_id);
CREATE INDEX ix_organization_board_access_organization_member_id ON organization_board_access (organization_member_id);
CREATE TRIGGER announce_rights AFTER INSERT OR DELETE OR UPDATE ON organization_board_access FOR EACH ROW EXECUTE FUNCTION announce_rights('organization_member_id');

CREATE TABLE organization_counts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    communication bigint DEFAULT '0'::bigint NOT NULL,
    CONSTRAINT pk_organization_counts PRIMARY KEY (id),
    CONSTRAINT uq_organization_counts_organization_id UNIQUE (organization_id)
) WITH (fillfactor='50');

CREATE TABLE organization_invite_board_access (
    id uuid NOT NULL,
    organization_invite_id uuid NOT NULL,
    board_id uuid NOT NULL,
    can_read boolean NOT NULL,
    can_write boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_organization_invite_board_access PRIMARY KEY (id),
    CONSTRAINT uq_organization_invite_board_access_pair UNIQUE (organization_invite_id, board_id)
);
CREATE INDEX ix_organization_invite_board_access_board_id ON organization_invite_board_access (board_id);
CREATE INDEX ix_organization_invite_board_access_organization_invite_id ON organization_invite_board_access (organization_invite_id);

CREATE TABLE organization_invites (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    invited_email varchar NOT NULL,
    token_hash varchar NOT NULL,
    role varchar(40) NOT NULL,
    all_boards_read boolean NOT NULL,
    all_boards_write boolean NOT NULL,
    created_by_user_id uuid,
    accepted_by_user_id uuid,
    accepted_at timestamptz,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_organization_invites PRIMARY KEY (id),
    CONSTRAINT uq_organization_invites_token_hash UNIQUE (token_hash)
);
CREATE INDEX ix_organization_invites_accepted_by_user_id ON organization_invites (accepted_by_user_id);
CREATE INDEX ix_organization_invites_created_by_user_id ON organization_invites (created_by_user_id);
CREATE INDEX ix_organization_invites_invited_email ON organization_invites (invited_email);
CREATE INDEX ix_organization_invites_organization_id ON organization_invites (organization_id);
CREATE UNIQUE INDEX uq_organization_invites_one_open_per_email ON organization_invites (organization_id, invited_email) WHERE (accepted_at IS NULL);

CREATE TABLE organization_members (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role varchar(40) NOT NULL,
    all_boards_read boolean NOT NULL,
    all_boards_write boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_organization_members PRIMARY KEY (id),
    CONSTRAINT uq_organization_members_organization_id_user_id UNIQUE (organization_id, user_id)
);
CREATE INDEX ix_organization_members_organization_id ON organization_members (organization_id);
CREATE INDEX ix_organization_members_role ON organization_members (role);
CREATE INDEX ix_organization_members_user_id ON organization_members (user_id);
CREATE TRIGGER announce_rights AFTER DELETE OR UPDATE OF role, all_boards_read, all_boards_write ON organization_members FOR EACH ROW EXECUTE FUNCTION announce_rights('user_id');

CREATE TABLE organizations (
    id uuid NOT NULL,
    name varchar NOT NULL,
    is_demo boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    stopped_at timestamptz,
    stopped_by_user_id uuid,
    stopped_by varchar,
    stop_reason varchar,
    only_owners_appoint_admins boolean DEFAULT false NOT NULL,
    CONSTRAINT pk_organizations PRIMARY KEY (id)
);
CREATE INDEX ix_organizations_name ON organizations (name);

CREATE TABLE password_links (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    secret_hash varchar NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_password_links PRIMARY KEY (id),
    CONSTRAINT uq_password_links_secret_hash UNIQUE (secret_hash),
    CONSTRAINT uq_password_links_user_id UNIQUE (user_id)
);
CREATE INDEX ix_password_links_expires_at ON password_links (expires_at);

CREATE TABLE pending_sign_ins (
    id uuid NOT NULL,
    state_hash varchar NOT NULL,
    browser_hash varchar NOT NULL,
    nonce varchar NOT NULL,
    code_verifier varchar NOT NULL,
    next varchar NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    issuer varchar,
    subject varchar,
    email varchar,
    CONSTRAINT pk_pending_sign_ins PRIMARY KEY (id),
    CONSTRAINT uq_pending_sign_ins_state_hash UNIQUE (state_hash)
);
CREATE INDEX ix_pending_sign_ins_browser_hash ON pending_sign_ins (browser_hash);
CREATE INDEX ix_pending_sign_ins_expires_at ON pending_sign_ins (expires_at);

CREATE TABLE presences (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    user_id uuid NOT NULL,
    since timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    CONSTRAINT pk_presences PRIMARY KEY (id),
    CONSTRAINT uq_presences_board_id_user_id UNIQUE (board_id, user_id)
);
CREATE INDEX ix_presences_user_id ON presences (user_id);

CREATE TABLE public_addresses (
    id uuid NOT NULL,
    base_url varchar NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT ck_public_addresses_one_row CHECK (id = '00000000-0000-0000-0000-000000000000'::uuid),
    CONSTRAINT pk_public_addresses PRIMARY KEY (id)
);

CREATE TABLE read_markers (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    board_id uuid NOT NULL,
    kind varchar(40) NOT NULL,
    task_id uuid,
    seen_seq bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    CONSTRAINT pk_read_markers PRIMARY KEY (id),
    CONSTRAINT uq_read_markers_one_each UNIQUE NULLS NOT DISTINCT (user_id, board_id, kind, task_id)
);
CREATE INDEX ix_read_markers_board_id ON read_markers (board_id);
CREATE INDEX ix_read_markers_task_id ON read_markers (task_id);

CREATE TABLE revoked_api_tokens (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    secret_hash varchar NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_revoked_api_tokens PRIMARY KEY (id),
    CONSTRAINT uq_revoked_api_tokens_secret_hash UNIQUE (secret_hash)
);
CREATE INDEX ix_revoked_api_tokens_expires_at ON revoked_api_tokens (expires_at);
CREATE INDEX ix_revoked_api_tokens_user_id ON revoked_api_tokens (user_id);

CREATE TABLE saved_views (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    user_id uuid,
    name varchar NOT NULL,
    query varchar NOT NULL,
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_saved_views PRIMARY KEY (id)
);
CREATE INDEX ix_saved_views_user_id ON saved_views (user_id);
CREATE UNIQUE INDEX uq_saved_views_name ON saved_views (board_id, user_id, lower((name)::text)) NULLS NOT DISTINCT;

CREATE TABLE sign_ins (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    secret_hash varchar NOT NULL,
    user_agent varchar,
    ip varchar,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    authenticated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_sign_ins PRIMARY KEY (id),
    CONSTRAINT uq_sign_ins_secret_hash UNIQUE (secret_hash)
);
CREATE INDEX ix_sign_ins_user_id ON sign_ins (user_id);
CREATE TRIGGER announce_rights AFTER DELETE ON sign_ins FOR EACH ROW EXECUTE FUNCTION announce_rights('user_id');

CREATE TABLE skill_pack_updates (
    id uuid NOT NULL,
    pack_id uuid NOT NULL,
    archive bytea NOT NULL,
    archive_digest varchar NOT NULL,
    revision varchar NOT NULL,
    changes jsonb NOT NULL,
    fetched_at timestamptz NOT NULL,
    CONSTRAINT pk_skill_pack_updates PRIMARY KEY (id),
    CONSTRAINT uq_skill_pack_updates_pack_id UNIQUE (pack_id)
);

CREATE TABLE skill_packs (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    name varchar NOT NULL,
    description varchar,
    source_url varchar NOT NULL,
    branch varchar NOT NULL,
    extra jsonb NOT NULL,
    revision varchar,
    archive_digest varchar,
    warnings jsonb NOT NULL,
    fetched_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_skill_packs PRIMARY KEY (id),
    CONSTRAINT uq_skill_packs_organization_id_source_url UNIQUE (organization_id, source_url)
);

CREATE TABLE skill_versions (
    id uuid NOT NULL,
    skill_id uuid NOT NULL,
    digest varchar NOT NULL,
    revision varchar NOT NULL,
    source_url varchar NOT NULL,
    files jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_skill_versions PRIMARY KEY (id),
    CONSTRAINT uq_skill_versions_skill_id_digest UNIQUE (skill_id, digest)
);

CREATE TABLE soul_directories (
    id uuid NOT NULL,
    address varchar NOT NULL,
    edition varchar,
    fetched_at timestamptz,
    tried_at timestamptz,
    failed_at timestamptz,
    CONSTRAINT pk_soul_directories PRIMARY KEY (id),
    CONSTRAINT uq_soul_directories_address UNIQUE (address)
);

CREATE TABLE souls (
    id uuid NOT NULL,
    directory_id uuid NOT NULL,
    handle varchar NOT NULL,
    slug varchar NOT NULL,
    title varchar NOT NULL,
    description varchar NOT NULL,
    content varchar,
    fetched_at timestamptz,
    words tsvector GENERATED ALWAYS AS (words_of(title, content, NULL::varchar)) STORED,
    CONSTRAINT pk_souls PRIMARY KEY (id),
    CONSTRAINT uq_souls_directory_id_handle_slug UNIQUE (directory_id, handle, slug)
);
CREATE INDEX ix_souls_words ON souls USING gin (words);

CREATE TABLE tag_assignments (
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    tag_id uuid NOT NULL,
    "position" integer NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_tag_assignments PRIMARY KEY (id),
    CONSTRAINT uq_tag_assignments_task_id_tag_id UNIQUE (task_id, tag_id)
);
CREATE INDEX ix_tag_assignments_tag_id ON tag_assignments (tag_id);
CREATE INDEX ix_tag_assignments_task_id ON tag_assignments (task_id);
CREATE TRIGGER count_tag_assignments_at_delete AFTER DELETE ON tag_assignments REFERENCING OLD TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION count_tag_assignments_at_delete();
CREATE TRIGGER count_tag_assignments_at_insert AFTER INSERT ON tag_assignments REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION count_tag_assignments_at_insert();

CREATE TABLE tag_counts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    tag_id uuid NOT NULL,
    board_id uuid NOT NULL,
    tasks integer NOT NULL,
    CONSTRAINT pk_tag_counts PRIMARY KEY (id),
    CONSTRAINT uq_tag_counts_tag_id_board_id UNIQUE (tag_id, board_id)
) WITH (fillfactor='50');
CREATE INDEX ix_tag_counts_board_id ON tag_counts (board_id);

CREATE TABLE tags (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    name varchar NOT NULL,
    slug varchar NOT NULL,
    color varchar NOT NULL,
    description varchar,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_tags PRIMARY KEY (id),
    CONSTRAINT uq_tags_organization_id_slug UNIQUE (organization_id, slug)
);
CREATE INDEX ix_tags_organization_id ON tags (organization_id);

CREATE TABLE task_comments (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    task_id uuid NOT NULL,
    message varchar NOT NULL,
    agent_id uuid,
    user_id uuid,
    created_at timestamptz NOT NULL,
    words tsvector GENERATED ALWAYS AS (words_of(NULL::varchar, message, NULL::varchar)) STORED,
    CONSTRAINT pk_task_comments PRIMARY KEY (id)
);
CREATE INDEX ix_task_comments_agent_id ON task_comments (agent_id);
CREATE INDEX ix_task_comments_board_id ON task_comments (board_id);
CREATE INDEX ix_task_comments_board_id_created_at ON task_comments (board_id, created_at);
CREATE INDEX ix_task_comments_task_id_created_at ON task_comments (task_id, created_at);
CREATE INDEX ix_task_comments_user_id ON task_comments (user_id);
CREATE INDEX ix_task_comments_words ON task_comments USING gin (words);
CREATE TRIGGER count_task_comments_at_delete AFTER DELETE ON task_comments REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_task_comments_at_delete();
CREATE TRIGGER count_task_comments_at_insert AFTER INSERT ON task_comments REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_task_comments_at_insert();

CREATE TABLE task_custom_field_definitions (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    field_key varchar NOT NULL,
    label varchar NOT NULL,
    field_type varchar(40) NOT NULL,
    ui_visibility varchar(40) NOT NULL,
    validation_regex varchar,
    description varchar,
    required boolean NOT NULL,
    default_value jsonb,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_task_custom_field_definitions PRIMARY KEY (id),
    CONSTRAINT uq_task_custom_field_definitions_organization_id_field_key UNIQUE (organization_id, field_key)
);
CREATE INDEX ix_task_custom_field_definitions_organization_id ON task_custom_field_definitions (organization_id);

CREATE TABLE task_custom_field_values (
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    task_custom_field_definition_id uuid NOT NULL,
    value jsonb,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_task_custom_field_values PRIMARY KEY (id),
    CONSTRAINT uq_task_custom_field_values_pair UNIQUE (task_id, task_custom_field_definition_id)
);
CREATE INDEX ix_task_custom_field_values_task_custom_field_definition_id ON task_custom_field_values (task_custom_field_definition_id);
CREATE INDEX ix_task_custom_field_values_task_id ON task_custom_field_values (task_id);

CREATE TABLE task_dependencies (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    task_id uuid NOT NULL,
    depends_on_task_id uuid NOT NULL,
    "position" integer NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT ck_task_dependencies_not_itself CHECK (task_id <> depends_on_task_id),
    CONSTRAINT pk_task_dependencies PRIMARY KEY (id),
    CONSTRAINT uq_task_dependencies_task_id_depends_on_task_id UNIQUE (task_id, depends_on_task_id)
);
CREATE INDEX ix_task_dependencies_board_id ON task_dependencies (board_id);
CREATE INDEX ix_task_dependencies_depends_on_task_id ON task_dependencies (depends_on_task_id);
CREATE INDEX ix_task_dependencies_task_id ON task_dependencies (task_id);
CREATE TRIGGER count_changed_dependencies AFTER INSERT OR DELETE OR UPDATE OF task_id, depends_on_task_id ON task_dependencies FOR EACH ROW EXECUTE FUNCTION count_changed_dependencies();

CREATE TABLE task_descriptions (
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    text varchar,
    agent_id uuid,
    user_id uuid,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_task_descriptions PRIMARY KEY (id)
);
CREATE INDEX ix_task_descriptions_agent_id ON task_descriptions (agent_id);
CREATE INDEX ix_task_descriptions_task_id_created_at ON task_descriptions (task_id, created_at);
CREATE INDEX ix_task_descriptions_user_id ON task_descriptions (user_id);

CREATE TABLE task_links (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    task_id uuid NOT NULL,
    kind varchar(40) NOT NULL,
    key varchar NOT NULL,
    repository varchar NOT NULL,
    reference varchar NOT NULL,
    title varchar NOT NULL,
    url varchar NOT NULL,
    state varchar NOT NULL,
    commit varchar,
    checks jsonb NOT NULL,
    checks_state varchar,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT ck_task_links_ck_task_links_kind CHECK (kind IN ('issue'::varchar, 'change'::varchar, 'check'::varchar)),
    CONSTRAINT pk_task_links PRIMARY KEY (id),
    CONSTRAINT uq_task_links_board_id_key UNIQUE (board_id, key)
);
CREATE INDEX ix_task_links_board_id_commit ON task_links (board_id, commit);
CREATE INDEX ix_task_links_task_id_updated_at ON task_links (task_id, updated_at);

CREATE TABLE task_move_hours (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    board_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    left_status varchar(40),
    entered_status varchar(40),
    count bigint NOT NULL,
    CONSTRAINT pk_task_move_hours PRIMARY KEY (id),
    CONSTRAINT uq_task_move_hours_key UNIQUE NULLS NOT DISTINCT (board_id, hour, left_status, entered_status)
) WITH (fillfactor='50');
CREATE INDEX ix_task_move_hours_organization_id ON task_move_hours (organization_id);

CREATE TABLE task_watchers (
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_task_watchers PRIMARY KEY (id),
    CONSTRAINT uq_task_watchers_task_id_user_id UNIQUE (task_id, user_id)
);
CREATE INDEX ix_task_watchers_user_id ON task_watchers (user_id);

CREATE TABLE tasks (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    title varchar NOT NULL,
    description varchar,
    status varchar(40) NOT NULL,
    priority varchar NOT NULL,
    due_at timestamptz,
    in_progress_at timestamptz,
    previous_in_progress_at timestamptz,
    started_at timestamptz,
    done_at timestamptz,
    created_by_user_id uuid,
    assigned_agent_id uuid,
    previous_assignee_id uuid,
    auto_created boolean NOT NULL,
    auto_reason varchar,
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    rank numeric DEFAULT ((EXTRACT(epoch FROM clock_timestamp()) * (1000000)::numeric) + (random())::numeric) NOT NULL,
    assigned_user_id uuid,
    stale_since timestamptz,
    stale_notified_at timestamptz,
    open_dependency_count integer DEFAULT 0 NOT NULL,
    words tsvector GENERATED ALWAYS AS (words_of(title, description, NULL::varchar)) STORED,
    claimed_run varchar(200),
    claimed_run_at timestamptz,
    CONSTRAINT ck_tasks_one_assignee CHECK ((assigned_agent_id IS NULL) OR (assigned_user_id IS NULL)),
    CONSTRAINT ck_tasks_status CHECK (status IN ('inbox'::varchar, 'in_progress'::varchar, 'review'::varchar, 'done'::varchar)),
    CONSTRAINT pk_tasks PRIMARY KEY (id)
);
CREATE INDEX ix_tasks_assigned_agent_id ON tasks (assigned_agent_id);
CREATE INDEX ix_tasks_assigned_user_id ON tasks (assigned_user_id);
CREATE INDEX ix_tasks_blocked ON tasks (board_id, status, rank) WHERE (open_dependency_count > 0);
CREATE INDEX ix_tasks_board_id_assigned_agent_id_created_at ON tasks (board_id, assigned_agent_id, created_at);
CREATE INDEX ix_tasks_board_id_created_at ON tasks (board_id, created_at);
CREATE INDEX ix_tasks_board_id_done_at ON tasks (board_id, done_at);
CREATE INDEX ix_tasks_board_id_status_created_at ON tasks (board_id, status, created_at);
CREATE INDEX ix_tasks_board_id_status_rank ON tasks (board_id, status, rank);
CREATE INDEX ix_tasks_board_id_updated_at ON tasks (board_id, updated_at);
CREATE INDEX ix_tasks_created_by_user_id ON tasks (created_by_user_id);
CREATE INDEX ix_tasks_due ON tasks (board_id, due_at) WHERE (due_at IS NOT NULL);
CREATE INDEX ix_tasks_due_of_people ON tasks (due_at) WHERE ((assigned_user_id IS NOT NULL) AND (status <> 'done'));
CREATE INDEX ix_tasks_in_progress ON tasks (updated_at) WHERE (status = 'in_progress');
CREATE INDEX ix_tasks_list ON tasks (board_id, status, due_at, created_at DESC, id DESC);
CREATE INDEX ix_tasks_of_people ON tasks (assigned_user_id, due_at) WHERE ((assigned_user_id IS NOT NULL) AND (status <> 'done'));
CREATE INDEX ix_tasks_previous_assignee_id ON tasks (previous_assignee_id);
CREATE INDEX ix_tasks_priority ON tasks (priority);
CREATE INDEX ix_tasks_stale ON tasks (board_id) WHERE (stale_since IS NOT NULL);
CREATE INDEX ix_tasks_urgent ON tasks (board_id, array_position(ARRAY['in_progress'::text, 'review'::text, 'inbox'::text], (status)::text), array_position(ARRAY['high'::text, 'medium'::text, 'low'::text], (priority)::text), updated_at DESC, created_at DESC, id DESC);
CREATE INDEX ix_tasks_words ON tasks USING gin (words);
CREATE INDEX ix_tasks_work_of_agents ON tasks (assigned_agent_id, in_progress_at, id) WHERE (status = 'in_progress');
CREATE INDEX ix_tasks_workers_of_boards ON tasks (board_id, assigned_agent_id) WHERE (status = 'in_progress');
CREATE TRIGGER announce_new_tasks AFTER INSERT ON tasks FOR EACH ROW WHEN ((new.assigned_agent_id IS NOT NULL) OR (new.status::text = 'inbox'::text)) EXECUTE FUNCTION announce_agent_news();
CREATE TRIGGER announce_tasks AFTER UPDATE OF assigned_agent_id, status ON tasks FOR EACH ROW WHEN (((old.assigned_agent_id IS DISTINCT FROM new.assigned_agent_id) OR (old.status::text IS DISTINCT FROM new.status::text)) AND ((new.assigned_agent_id IS NOT NULL) OR (new.status::text = 'inbox'::text))) EXECUTE FUNCTION announce_agent_news();
CREATE TRIGGER count_dependencies_of_dependents AFTER UPDATE OF status ON tasks FOR EACH ROW WHEN ((old.status::text = 'done'::text) IS DISTINCT FROM (new.status::text = 'done'::text)) EXECUTE FUNCTION count_dependencies_of_dependents();
CREATE TRIGGER count_tags_of_deleted_task BEFORE DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION count_tags_of_deleted_task();
CREATE TRIGGER count_tasks_at_delete AFTER DELETE ON tasks REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_tasks_at_delete();
CREATE TRIGGER count_tasks_at_insert AFTER INSERT ON tasks REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_tasks_at_insert();
CREATE TRIGGER count_tasks_at_update AFTER UPDATE ON tasks FOR EACH ROW WHEN ((((old.board_id IS DISTINCT FROM new.board_id) OR (old.status::text IS DISTINCT FROM new.status::text)) OR (old.done_at IS DISTINCT FROM new.done_at)) OR (old.started_at IS DISTINCT FROM new.started_at)) EXECUTE FUNCTION count_tasks_at_update();
CREATE TRIGGER start_without_dependencies BEFORE INSERT ON tasks FOR EACH ROW WHEN (new.open_dependency_count IS DISTINCT FROM 0) EXECUTE FUNCTION start_without_dependencies();

CREATE TABLE tool_calls (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    board_id uuid,
    agent_id uuid NOT NULL,
    session_id uuid NOT NULL,
    call_key varchar,
    tool varchar NOT NULL,
    request_hash varchar NOT NULL,
    input_excerpt varchar NOT NULL,
    facts jsonb NOT NULL,
    reason varchar NOT NULL,
    rule_name varchar,
    approval_id uuid,
    grant_id uuid,
    answer varchar(40),
    asked_at timestamptz NOT NULL,
    waits_until timestamptz,
    abandoned_at timestamptz,
    answered_at timestamptz,
    executed_at timestamptz,
    is_successful boolean,
    is_ungated boolean NOT NULL,
    CONSTRAINT ck_tool_calls_answer CHECK (answer IN ('allow'::varchar, 'deny'::varchar, 'defer'::varchar)),
    CONSTRAINT ck_tool_calls_answered_at CHECK ((answer IS NULL) = (answered_at IS NULL)),
    CONSTRAINT pk_tool_calls PRIMARY KEY (id)
);
CREATE INDEX ix_tool_calls_agent_id_asked_at ON tool_calls (agent_id, asked_at);
CREATE INDEX ix_tool_calls_agent_id_call_key ON tool_calls (agent_id, call_key);
CREATE INDEX ix_tool_calls_approval_id ON tool_calls (approval_id);
CREATE INDEX ix_tool_calls_asked_at ON tool_calls (asked_at);
CREATE INDEX ix_tool_calls_board_id_asked_at ON tool_calls (board_id, asked_at);
CREATE INDEX ix_tool_calls_grant_id ON tool_calls (grant_id);
CREATE INDEX ix_tool_calls_organization_id_asked_at ON tool_calls (organization_id, asked_at);
CREATE INDEX ix_tool_calls_session_id_asked_at ON tool_calls (session_id, asked_at);
CREATE INDEX ix_tool_calls_session_id_request_hash ON tool_calls (session_id, request_hash);
CREATE INDEX ix_tool_calls_unanswered ON tool_calls (agent_id) WHERE ((answer IS NULL) AND (abandoned_at IS NULL));
CREATE INDEX ix_tool_calls_ungated ON tool_calls (agent_id, asked_at) WHERE is_ungated;
CREATE UNIQUE INDEX uq_tool_calls_session_id_call_key ON tool_calls (session_id, call_key) WHERE (call_key IS NOT NULL);

CREATE TABLE tool_grants (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    board_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    session_id uuid,
    task_id uuid,
    approval_id uuid NOT NULL,
    request_hash varchar NOT NULL,
    tool varchar NOT NULL,
    input_excerpt varchar NOT NULL,
    granted_by_user_id uuid,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_by_user_id uuid,
    CONSTRAINT ck_tool_grants_scope CHECK ((session_id IS NULL) <> (task_id IS NULL)),
    CONSTRAINT pk_tool_grants PRIMARY KEY (id)
);
CREATE INDEX ix_tool_grants_agent_id_request_hash ON tool_grants (agent_id, request_hash);
CREATE INDEX ix_tool_grants_approval_id ON tool_grants (approval_id);
CREATE INDEX ix_tool_grants_board_id ON tool_grants (board_id);
CREATE INDEX ix_tool_grants_ended_by_user_id ON tool_grants (ended_by_user_id);
CREATE INDEX ix_tool_grants_granted_by_user_id ON tool_grants (granted_by_user_id);
CREATE INDEX ix_tool_grants_organization_id ON tool_grants (organization_id);
CREATE INDEX ix_tool_grants_session_id ON tool_grants (session_id);
CREATE INDEX ix_tool_grants_task_id ON tool_grants (task_id);

CREATE TABLE trash (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    task_id uuid NOT NULL,
    rows jsonb NOT NULL,
    deleted_at timestamptz NOT NULL,
    CONSTRAINT pk_trash PRIMARY KEY (id),
    CONSTRAINT uq_trash_task_id UNIQUE (task_id)
);
CREATE INDEX ix_trash_board_id_deleted_at ON trash (board_id, deleted_at);
CREATE INDEX ix_trash_deleted_at ON trash (deleted_at);

CREATE TABLE usage_facts (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    session_id uuid,
    task_id uuid,
    source varchar NOT NULL,
    source_key varchar NOT NULL,
    model varchar,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    used_at timestamptz NOT NULL,
    CONSTRAINT pk_usage_facts PRIMARY KEY (id),
    CONSTRAINT uq_usage_facts_agent_id_source_source_key UNIQUE (agent_id, source, source_key)
);
CREATE INDEX ix_usage_facts_agent_id_used_at ON usage_facts (agent_id, used_at);
CREATE INDEX ix_usage_facts_organization_id ON usage_facts (organization_id);
CREATE INDEX ix_usage_facts_session_id_used_at ON usage_facts (session_id, used_at);
CREATE INDEX ix_usage_facts_task_id ON usage_facts (task_id);
CREATE INDEX ix_usage_facts_used_at ON usage_facts (used_at);

CREATE TABLE user_questions (
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    main_agent_id uuid NOT NULL,
    correlation_id varchar NOT NULL,
    created_at timestamptz NOT NULL,
    answered_at timestamptz,
    CONSTRAINT pk_user_questions PRIMARY KEY (id)
);
CREATE INDEX ix_user_questions_board_id_correlation_id ON user_questions (board_id, correlation_id);
CREATE INDEX ix_user_questions_main_agent_id ON user_questions (main_agent_id);

CREATE TABLE users (
    id uuid NOT NULL,
    clerk_user_id varchar NOT NULL,
    email varchar,
    name varchar,
    preferred_name varchar,
    pronouns varchar,
    timezone varchar,
    notes varchar,
    context varchar,
    is_super_admin boolean NOT NULL,
    password_hash varchar,
    active_organization_id uuid,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    email_verified_at timestamptz,
    language varchar,
    unread_removal_event_id uuid,
    pinned_boards_collapsed boolean DEFAULT false NOT NULL,
    recent_boards_collapsed boolean DEFAULT false NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT uq_users_clerk_user_id UNIQUE (clerk_user_id)
);
CREATE INDEX ix_users_active_organization_id ON users (active_organization_id);
CREATE UNIQUE INDEX uq_users_lower_email ON users (lower((email)::text));

CREATE TABLE webhook_deliveries (
    id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    number bigint GENERATED BY DEFAULT AS IDENTITY,
    event_id uuid,
    event_type varchar NOT NULL,
    payload varchar NOT NULL,
    state varchar(40) NOT NULL,
    attempts integer NOT NULL,
    retries_left integer NOT NULL,
    next_attempt_at timestamptz,
    last_attempt_at timestamptz,
    outcome varchar,
    status integer,
    detail varchar,
    response varchar,
    duration_ms integer,
    created_at timestamptz NOT NULL,
    delivered_at timestamptz,
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id),
    CONSTRAINT uq_webhook_deliveries_endpoint_id_event_id UNIQUE (endpoint_id, event_id)
);
CREATE INDEX ix_webhook_deliveries_created_at ON webhook_deliveries (created_at);
CREATE INDEX ix_webhook_deliveries_delivered ON webhook_deliveries (endpoint_id, delivered_at) WHERE (delivered_at IS NOT NULL);
CREATE INDEX ix_webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at) WHERE (next_attempt_at IS NOT NULL);
CREATE INDEX ix_webhook_deliveries_endpoint_id_number ON webhook_deliveries (endpoint_id, number);
CREATE INDEX ix_webhook_deliveries_not_delivered ON webhook_deliveries (endpoint_id, state) WHERE (state <> 'delivered');

CREATE TABLE webhook_endpoints (
    id uuid NOT NULL,
    organization_id uuid NOT NULL,
    url varchar NOT NULL,
    description varchar NOT NULL,
    event_types jsonb NOT NULL,
    board_ids jsonb NOT NULL,
    encrypted_secret varchar NOT NULL,
    encrypted_previous_secret varchar,
    previous_secret_expires_at timestamptz,
    state varchar(40) NOT NULL,
    failing_since timestamptz,
    last_seq bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    owner_user_id uuid,
    CONSTRAINT pk_webhook_endpoints PRIMARY KEY (id)
);
CREATE INDEX ix_webhook_endpoints_organization_id ON webhook_endpoints (organization_id);
CREATE INDEX ix_webhook_endpoints_owner_user_id ON webhook_endpoints (owner_user_id);

CREATE TABLE write_checks (
    id uuid NOT NULL,
    content varchar NOT NULL,
    checked_at timestamptz NOT NULL,
    CONSTRAINT pk_write_checks PRIMARY KEY (id)
);
ALTER TABLE ONLY write_checks ALTER COLUMN content SET STORAGE PLAIN;

-- In this order PostgreSQL follows them when it deletes rows.
ALTER TABLE activity_events
    ADD CONSTRAINT fk_activity_events_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE board_groups
    ADD CONSTRAINT fk_board_groups_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE tags
    ADD CONSTRAINT fk_tags_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE users
    ADD CONSTRAINT fk_users_active_organization_id FOREIGN KEY (active_organization_id) REFERENCES organizations(id) ON DELETE SET NULL;

ALTER TABLE api_tokens
    ADD CONSTRAINT fk_api_tokens_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

ALTER TABLE boards
    ADD CONSTRAINT fk_boards_board_group_id FOREIGN KEY (board_group_id) REFERENCES board_groups(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_boards_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE organization_members
    ADD CONSTRAINT fk_organization_members_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_organization_members_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

ALTER TABLE sign_ins
    ADD CONSTRAINT fk_sign_ins_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

ALTER TABLE agents
    ADD CONSTRAINT fk_agents_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_agents_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE board_memory
    ADD CONSTRAINT fk_board_memory_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE;

ALTER TABLE organization_board_access
    ADD CONSTRAINT fk_organization_board_access_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_organization_board_access_organization_member_id FOREIGN KEY (organization_member_id) REFERENCES organization_members(id) ON DELETE CASCADE;

ALTER TABLE trash
    ADD CONSTRAINT fk_trash_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE;

ALTER TABLE agent_tokens
    ADD CONSTRAINT fk_agent_tokens_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE;

ALTER TABLE tasks
    ADD CONSTRAINT fk_tasks_assigned_agent_id FOREIGN KEY (assigned_agent_id) REFERENCES agents(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_tasks_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_tasks_created_by_user_id FOREIGN KEY (created_by_user_id) REFERENCES users(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_tasks_previous_assignee_id FOREIGN KEY (previous_assignee_id) REFERENCES agents(id) ON DELETE SET NULL;

ALTER TABLE approvals
    ADD CONSTRAINT fk_approvals_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_approvals_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_approvals_decided_by_user_id FOREIGN KEY (decided_by_user_id) REFERENCES users(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_approvals_requested_by_user_id FOREIGN KEY (requested_by_user_id) REFERENCES users(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_approvals_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE SET NULL;

ALTER TABLE tag_assignments
    ADD CONSTRAINT fk_tag_assignments_tag_id FOREIGN KEY (tag_id) REFERENCES tags(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_tag_assignments_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE;

ALTER TABLE task_comments
    ADD CONSTRAINT fk_task_comments_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_task_comments_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_task_comments_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_task_comments_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE SET NULL;

ALTER TABLE task_dependencies
    ADD CONSTRAINT fk_task_dependencies_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_task_dependencies_depends_on_task_id FOREIGN KEY (depends_on_task_id) REFERENCES tasks(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_task_dependencies_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE;

ALTER TABLE approval_task_links
    ADD CONSTRAINT fk_approval_task_links_approval_id FOREIGN KEY (approval_id) REFERENCES approvals(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_approval_task_links_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE;

ALTER TABLE board_group_memory
    ADD CONSTRAINT fk_board_group_memory_board_group_id FOREIGN KEY (board_group_id) REFERENCES board_groups(id) ON DELETE CASCADE;

ALTER TABLE organization_invites
    ADD CONSTRAINT fk_organization_invites_accepted_by_user_id FOREIGN KEY (accepted_by_user_id) REFERENCES users(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_organization_invites_created_by_user_id FOREIGN KEY (created_by_user_id) REFERENCES users(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_organization_invites_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE organization_invite_board_access
    ADD CONSTRAINT fk_organization_invite_board_access_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_organization_invite_board_access_organization_invite_id FOREIGN KEY (organization_invite_id) REFERENCES organization_invites(id) ON DELETE CASCADE;

ALTER TABLE task_custom_field_definitions
    ADD CONSTRAINT fk_task_custom_field_definitions_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE board_task_custom_fields
    ADD CONSTRAINT fk_board_task_custom_fields_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_board_task_custom_fields_definition FOREIGN KEY (task_custom_field_definition_id) REFERENCES task_custom_field_definitions(id) ON DELETE CASCADE;

ALTER TABLE task_custom_field_values
    ADD CONSTRAINT fk_task_custom_field_values_definition FOREIGN KEY (task_custom_field_definition_id) REFERENCES task_custom_field_definitions(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_task_custom_field_values_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE;

ALTER TABLE agent_messages
    ADD CONSTRAINT fk_agent_messages_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_agent_messages_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_agent_messages_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE external_identities
    ADD CONSTRAINT fk_external_identities_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

ALTER TABLE souls
    ADD CONSTRAINT fk_souls_directory_id FOREIGN KEY (directory_id) REFERENCES soul_directories(id) ON DELETE CASCADE;

ALTER TABLE gateways
    ADD CONSTRAINT fk_gateways_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE boards
    ADD CONSTRAINT fk_boards_gateway_id FOREIGN KEY (gateway_id) REFERENCES gateways(id);

ALTER TABLE agents
    ADD CONSTRAINT fk_agents_gateway_id FOREIGN KEY (gateway_id) REFERENCES gateways(id);

ALTER TABLE board_onboarding_sessions
    ADD CONSTRAINT fk_board_onboarding_sessions_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE;

ALTER TABLE board_onboarding_messages
    ADD CONSTRAINT fk_board_onboarding_messages_session_id FOREIGN KEY (session_id) REFERENCES board_onboarding_sessions(id) ON DELETE CASCADE;

ALTER TABLE gateway_leftovers
    ADD CONSTRAINT fk_gateway_leftovers_gateway_id FOREIGN KEY (gateway_id) REFERENCES gateways(id) ON DELETE CASCADE;

ALTER TABLE read_markers
    ADD CONSTRAINT fk_read_markers_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_read_markers_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_read_markers_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE;

ALTER TABLE presences
    ADD CONSTRAINT fk_presences_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_presences_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

ALTER TABLE gateway_requests
    ADD CONSTRAINT fk_gateway_requests_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_gateway_requests_gateway_id FOREIGN KEY (gateway_id) REFERENCES gateways(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_gateway_requests_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_gateway_requests_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_gateway_requests_answered_by_user_id FOREIGN KEY (answered_by_user_id) REFERENCES users(id) ON DELETE SET NULL;

ALTER TABLE agent_runs
    ADD CONSTRAINT fk_agent_runs_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_agent_runs_gateway_id FOREIGN KEY (gateway_id) REFERENCES gateways(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_agent_runs_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_agent_runs_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE SET NULL;

ALTER TABLE password_links
    ADD CONSTRAINT fk_password_links_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

ALTER TABLE user_questions
    ADD CONSTRAINT fk_user_questions_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_user_questions_main_agent_id FOREIGN KEY (main_agent_id) REFERENCES agents(id) ON DELETE CASCADE;

ALTER TABLE approval_policies
    ADD CONSTRAINT fk_approval_policies_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_approval_policies_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_approval_policies_updated_by_user_id FOREIGN KEY (updated_by_user_id) REFERENCES users(id) ON DELETE SET NULL;

ALTER TABLE approvals
    ADD CONSTRAINT fk_approvals_first_approver_id FOREIGN KEY (first_approver_id) REFERENCES users(id) ON DELETE SET NULL;

ALTER TABLE board_counts
    ADD CONSTRAINT fk_board_counts_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE;

ALTER TABLE event_counts
    ADD CONSTRAINT fk_event_counts_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE agent_event_counts
    ADD CONSTRAINT fk_agent_event_counts_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE task_move_hours
    ADD CONSTRAINT fk_task_move_hours_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE message_hours
    ADD CONSTRAINT fk_message_hours_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE done_task_hours
    ADD CONSTRAINT fk_done_task_hours_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE;

ALTER TABLE task_descriptions
    ADD CONSTRAINT fk_task_descriptions_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_task_descriptions_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_task_descriptions_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE SET NULL;

ALTER TABLE agent_file_versions
    ADD CONSTRAINT fk_agent_file_versions_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_agent_file_versions_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE SET NULL;

ALTER TABLE kept_forms
    ADD CONSTRAINT fk_kept_forms_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

ALTER TABLE saved_views
    ADD CONSTRAINT fk_saved_views_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_saved_views_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

ALTER TABLE default_views
    ADD CONSTRAINT fk_default_views_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_default_views_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_default_views_view_id FOREIGN KEY (view_id) REFERENCES saved_views(id) ON DELETE CASCADE;

ALTER TABLE notifications
    ADD CONSTRAINT fk_notifications_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notifications_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notifications_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE;

ALTER TABLE notification_channels
    ADD CONSTRAINT fk_notification_channels_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notification_channels_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE notification_preferences
    ADD CONSTRAINT fk_notification_preferences_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notification_preferences_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notification_preferences_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notification_preferences_channel_id FOREIGN KEY (channel_id) REFERENCES notification_channels(id) ON DELETE CASCADE;

ALTER TABLE notification_settings
    ADD CONSTRAINT fk_notification_settings_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notification_settings_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notification_settings_escalate_to_user_id FOREIGN KEY (escalate_to_user_id) REFERENCES users(id) ON DELETE SET NULL;

ALTER TABLE notification_deliveries
    ADD CONSTRAINT fk_notification_deliveries_notification_id FOREIGN KEY (notification_id) REFERENCES notifications(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notification_deliveries_channel_id FOREIGN KEY (channel_id) REFERENCES notification_channels(id) ON DELETE CASCADE;

ALTER TABLE tasks
    ADD CONSTRAINT fk_tasks_assigned_user_id_users FOREIGN KEY (assigned_user_id) REFERENCES users(id) ON DELETE SET NULL;

ALTER TABLE task_links
    ADD CONSTRAINT fk_task_links_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_task_links_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE;

ALTER TABLE board_webhooks
    ADD CONSTRAINT fk_board_webhooks_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_board_webhooks_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE SET NULL;

ALTER TABLE board_webhook_payloads
    ADD CONSTRAINT fk_board_webhook_payloads_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_board_webhook_payloads_webhook_id FOREIGN KEY (webhook_id) REFERENCES board_webhooks(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_board_webhook_payloads_message_id FOREIGN KEY (message_id) REFERENCES agent_messages(id) ON DELETE SET NULL;

ALTER TABLE webhook_endpoints
    ADD CONSTRAINT fk_webhook_endpoints_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE webhook_deliveries
    ADD CONSTRAINT fk_webhook_deliveries_endpoint_id FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoints(id) ON DELETE CASCADE;

ALTER TABLE task_watchers
    ADD CONSTRAINT fk_task_watchers_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_task_watchers_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

ALTER TABLE agent_questions
    ADD CONSTRAINT fk_agent_questions_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_agent_questions_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_agent_questions_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_agent_questions_answered_by_user_id FOREIGN KEY (answered_by_user_id) REFERENCES users(id) ON DELETE SET NULL;

ALTER TABLE webhook_endpoints
    ADD CONSTRAINT fk_webhook_endpoints_owner_user_id FOREIGN KEY (owner_user_id) REFERENCES users(id) ON DELETE SET NULL;

ALTER TABLE notifications
    ADD CONSTRAINT fk_notifications_board_group_id FOREIGN KEY (board_group_id) REFERENCES board_groups(id) ON DELETE CASCADE;

ALTER TABLE skill_packs
    ADD CONSTRAINT fk_skill_packs_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE skill_pack_updates
    ADD CONSTRAINT fk_skill_pack_updates_pack_id FOREIGN KEY (pack_id) REFERENCES skill_packs(id) ON DELETE CASCADE;

ALTER TABLE marketplace_skills
    ADD CONSTRAINT fk_marketplace_skills_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_marketplace_skills_pack_id FOREIGN KEY (pack_id) REFERENCES skill_packs(id) ON DELETE SET NULL;

ALTER TABLE skill_versions
    ADD CONSTRAINT fk_skill_versions_skill_id FOREIGN KEY (skill_id) REFERENCES marketplace_skills(id) ON DELETE CASCADE;

ALTER TABLE gateway_installed_skills
    ADD CONSTRAINT fk_gateway_installed_skills_gateway_id FOREIGN KEY (gateway_id) REFERENCES gateways(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_gateway_installed_skills_skill_id FOREIGN KEY (skill_id) REFERENCES marketplace_skills(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_gateway_installed_skills_message_id FOREIGN KEY (message_id) REFERENCES agent_messages(id) ON DELETE SET NULL;

ALTER TABLE gateway_config_changes
    ADD CONSTRAINT fk_gateway_config_changes_gateway_id FOREIGN KEY (gateway_id) REFERENCES gateways(id) ON DELETE CASCADE;

ALTER TABLE revoked_api_tokens
    ADD CONSTRAINT fk_revoked_api_tokens_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

ALTER TABLE approvals
    ADD CONSTRAINT fk_approvals_undone_by_user_id FOREIGN KEY (undone_by_user_id) REFERENCES users(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_approvals_lapsed_user_id_users FOREIGN KEY (lapsed_user_id) REFERENCES users(id) ON DELETE SET NULL;

ALTER TABLE event_origins
    ADD CONSTRAINT fk_event_origins_id FOREIGN KEY (id) REFERENCES activity_events(id) ON DELETE CASCADE;

ALTER TABLE client_connections
    ADD CONSTRAINT fk_client_connections_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE;

ALTER TABLE coding_sessions
    ADD CONSTRAINT fk_coding_sessions_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_coding_sessions_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_coding_sessions_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_coding_sessions_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE SET NULL;

ALTER TABLE tool_grants
    ADD CONSTRAINT fk_tool_grants_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_tool_grants_approval_id FOREIGN KEY (approval_id) REFERENCES approvals(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_tool_grants_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_tool_grants_ended_by_user_id FOREIGN KEY (ended_by_user_id) REFERENCES users(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_tool_grants_granted_by_user_id FOREIGN KEY (granted_by_user_id) REFERENCES users(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_tool_grants_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_tool_grants_session_id FOREIGN KEY (session_id) REFERENCES coding_sessions(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_tool_grants_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE;

ALTER TABLE usage_facts
    ADD CONSTRAINT fk_usage_facts_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_usage_facts_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_usage_facts_session_id FOREIGN KEY (session_id) REFERENCES coding_sessions(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_usage_facts_task_id FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE SET NULL;

ALTER TABLE tool_calls
    ADD CONSTRAINT fk_tool_calls_agent_id FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_tool_calls_approval_id FOREIGN KEY (approval_id) REFERENCES approvals(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_tool_calls_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_tool_calls_grant_id FOREIGN KEY (grant_id) REFERENCES tool_grants(id) ON DELETE SET NULL,
    ADD CONSTRAINT fk_tool_calls_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_tool_calls_session_id FOREIGN KEY (session_id) REFERENCES coding_sessions(id) ON DELETE CASCADE;

ALTER TABLE board_shortcuts
    ADD CONSTRAINT fk_board_shortcuts_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_board_shortcuts_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE;

ALTER TABLE notification_counts
    ADD CONSTRAINT fk_notification_counts_user_id FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notification_counts_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notification_counts_board_id FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_notification_counts_board_group_id FOREIGN KEY (board_group_id) REFERENCES board_groups(id) ON DELETE CASCADE;

ALTER TABLE bulk_task_changes
    ADD CONSTRAINT fk_bulk_task_changes_board_id_boards FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_bulk_task_changes_user_id_users FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

ALTER TABLE organization_counts
    ADD CONSTRAINT fk_organization_counts_organization_id FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE;

ALTER TABLE board_group_counts
    ADD CONSTRAINT fk_board_group_counts_board_group_id_board_groups FOREIGN KEY (board_group_id) REFERENCES board_groups(id) ON DELETE CASCADE;

ALTER TABLE tag_counts
    ADD CONSTRAINT fk_tag_counts_tag_id_tags FOREIGN KEY (tag_id) REFERENCES tags(id) ON DELETE CASCADE,
    ADD CONSTRAINT fk_tag_counts_board_id_boards FOREIGN KEY (board_id) REFERENCES boards(id) ON DELETE CASCADE;

-- Default privileges may have given others rights on the audit.
do $$
declare
    granted record;
begin
    for granted in
        select distinct coalesce(quote_ident(rolname), 'public') as name
        from pg_class, aclexplode(relacl) as acl left join pg_roles on pg_roles.oid = grantee
        where pg_class.oid = 'public.audit_records'::regclass and grantee <> relowner
    loop
        execute 'revoke update, delete, truncate, trigger on public.audit_records from '
            || granted.name;
    end loop;
    for granted in
        select distinct coalesce(quote_ident(rolname), 'public') as name
        from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) as acl
        left join pg_roles on pg_roles.oid = grantee
        where pg_proc.oid = 'public.delete_audit_chain(uuid, integer)'::regprocedure
            and grantee <> proowner
    loop
        execute 'revoke execute on function public.delete_audit_chain(uuid, integer) from '
            || granted.name;
    end loop;
end $$;
