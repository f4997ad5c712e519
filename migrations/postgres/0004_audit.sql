-- Who changed what: one row for each thing that was changed, in the transaction of the change.

create table audit (
    seq        bigint      not null,
    at         timestamptz not null,
    actor      text,
    login      text,
    action     text        not null,
    client     uuid,
    client_id  text,
    subject    uuid,
    detail     jsonb       not null,
    hash       bytea       not null,
    constraint audit_pk primary key (seq),
    constraint audit_hash_is_sha256 check (octet_length(hash) = 32)
);
create index audit_by_client_id on audit (client_id, seq);
comment on table audit is
    'The audit trail: changes of clients, secrets and the installation, and revocations, made through Jeton or by hand. Triggers write it, and jeton audit verify checks that nothing was altered since.';
comment on column audit.seq is
    'The place in the trail: without gaps, in the order of commits.';
comment on column audit.at is
    'When it was written, by the clock of this database.';
comment on column audit.actor is
    'Who, as Jeton says: client:orders for a client that revoked its own token, operator:name for a command, jeton for a node. Null for a row that was edited beside Jeton.';
comment on column audit.login is
    'The role that was logged in to this database. Null on SQLite, which has none.';
comment on column audit.action is
    'The thing and what was done. client, secret and installation: create, update, delete; token: revoke, unrevoke, update, delete; for a whole table, one of these or revocation: truncate; audit.cut where old rows were removed.';
comment on column audit.client is
    'client.id of the client that it concerns: it tells two clients apart that had the same client_id one after the other.';
comment on column audit.client_id is
    'client.client_id at that time.';
comment on column audit.subject is
    'client_secret.id or access_token.id, where it is about one of these.';
comment on column audit.detail is
    'The columns of what was made or deleted; for an update, each that changed with its value before and after. No hashes and no keys.';
comment on column audit.hash is
    'SHA-256 over the hash of the row before and all other columns of this one. Whoever alters a row has to alter all that follow, and whoever keeps one hash elsewhere sees it.';

-- A field of what is hashed: its length stands before it, so that nothing can be moved from one
-- field into the next. These have no search path of their own: it would cost more than all else,
-- and they are called by functions that have one.
create function audit_field(value text) returns text
    language sql stable as $$
    select coalesce(octet_length(convert_to(value, 'UTF8')) || ':' || value, '-')
$$;

create function audit_hash(previous bytea, entry audit) returns bytea
    language sql stable as $$
    select sha256(previous || convert_to(
        audit_field(entry.seq::text)
        || audit_field((extract(epoch from entry.at) * 1000000)::bigint::text)
        || audit_field(entry.actor) || audit_field(entry.login) || audit_field(entry.action)
        || audit_field(entry.client::text) || audit_field(entry.client_id)
        || audit_field(entry.subject::text) || audit_field(entry.detail::text), 'UTF8'))
$$;

-- The lock is that of the change feed: whoever writes here mostly writes there as well, and two
-- locks could be taken in two orders.
create function record_audit(action text, client uuid, client_id text, subject uuid, detail jsonb)
    returns void language plpgsql security definer set search_path from current as $$
declare
    last audit;
    entry audit;
begin
    perform pg_advisory_xact_lock(7160834520118);
    select * into last from audit order by seq desc limit 1;
    entry := row(
        coalesce(last.seq, 0) + 1, clock_timestamp(),
        nullif(current_setting('jeton.actor', true), ''), session_user,
        action, client, client_id, subject, detail, null);
    entry.hash := audit_hash(coalesce(last.hash, ''), entry);
    insert into audit select entry.*;
end $$;
comment on function record_audit is
    'Writes one row of the audit trail. The triggers call it with the rights of their owner; nobody else may, so that whoever may edit a client cannot write the trail.';
revoke execute on function record_audit from public;

-- Hashes and keys are named where they changed, and never shown. Written in plpgsql, like all that
-- runs for each row, because it keeps its plans from one transaction to the next.
create function audit_detail(before jsonb, after jsonb) returns jsonb
    language plpgsql immutable as $$
begin
    if before is null or after is null then
        return coalesce(after, before)
            - '{id,client,client_id,hash,digest,tag_key}'::text[];
    end if;
    return (
        select jsonb_object_agg(key, case
            when key in ('hash', 'digest', 'tag_key') then '"changed"'::jsonb
            else jsonb_build_array(old.value, new.value) end)
        from jsonb_each(before) as old join jsonb_each(after) as new using (key)
        where old.value <> new.value);
end $$;

-- Arguments: the thing, and what was done to it if the statement does not say so.
create function audit_row() returns trigger
    language plpgsql security definer set search_path from current as $$
declare
    thing text := tg_argv[0];
    verb text := coalesce(tg_argv[1], lower(replace(tg_op, 'INSERT', 'CREATE')));
    before jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    after jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    changed jsonb := coalesce(after, before);
    detail jsonb := audit_detail(before, after);
    concerned uuid;
    name text;
begin
    if before = after then
        return null;
    end if;
    concerned := case thing
        when 'client' then changed ->> 'id'
        when 'secret' then changed ->> 'client'
        when 'token' then (select token.client::text from access_token as token
                           where token.id = (changed ->> 'id')::uuid)
    end;
    name := coalesce(
        changed ->> 'client_id', (select client.client_id from client where client.id = concerned));
    -- The secrets of a client that is deleted go with it.
    if thing = 'secret' and tg_op = 'DELETE' and name is null then
        return null;
    end if;
    perform record_audit(
        thing || '.' || verb, concerned, name,
        case when thing in ('secret', 'token') then (changed ->> 'id')::uuid end, detail);
    return null;
end $$;

create function audit_truncation() returns trigger
    language plpgsql security definer set search_path from current as $$
begin
    perform record_audit(tg_argv[0] || '.truncate', null, null, null, '{}');
    return null;
end $$;

-- Deferred to the commit, as those of the change feed are, for the lock's sake.
create constraint trigger client_is_audited after insert or update or delete on client
    deferrable initially deferred for each row execute function audit_row('client');
create constraint trigger client_secret_is_audited after insert or update or delete on client_secret
    deferrable initially deferred for each row execute function audit_row('secret');
create constraint trigger installation_is_audited after update or delete on installation
    deferrable initially deferred for each row execute function audit_row('installation');
create constraint trigger revocation_is_audited after insert or update on revoked_token
    deferrable initially deferred for each row execute function audit_row('token', 'revoke');
-- Those of dead tokens and dead partitions go by themselves, and are nobody's doing.
create constraint trigger revocation_removal_is_audited after delete on revoked_token
    deferrable initially deferred for each row when (old.keep_until > now())
    execute function audit_row('token', 'unrevoke');
create constraint trigger access_token_is_audited after update or delete on access_token
    deferrable initially deferred for each row execute function audit_row('token');

create trigger client_truncation_is_audited after truncate on client
    for each statement execute function audit_truncation('client');
create trigger client_secret_truncation_is_audited after truncate on client_secret
    for each statement execute function audit_truncation('secret');
create trigger revoked_token_truncation_is_audited after truncate on revoked_token
    for each statement execute function audit_truncation('revocation');
create trigger access_token_truncation_is_audited after truncate on access_token
    for each statement execute function audit_truncation('token');

create function refuse_audit_change() returns trigger
    language plpgsql set search_path from current as $$
begin
    raise exception 'rows of the audit trail are never changed'
        using hint = 'jeton removes those that are older than --audit-days';
end $$;
create trigger audit_is_append_only before update or truncate on audit
    for each statement execute function refuse_audit_change();

-- Removes rows from the start of the trail, never the last, and says in the trail where it was
-- cut, so that what is left verifies from its start.
create function cut_audit(days integer, most bigint) returns bigint
    language plpgsql security definer set search_path from current as $$
declare
    first bigint;
    last audit;
begin
    perform pg_advisory_xact_lock(7160834520118);
    select min(seq) into first from audit;
    -- Once a day: each cut is a row itself.
    if not exists (select from audit where seq = first
                   and at < now() - make_interval(days => days + 1)) then
        return 0;
    end if;
    select * into last from audit
        where seq < least(first + most, (select max(seq) from audit))
          and at < now() - make_interval(days => days)
        order by seq desc limit 1;
    if last.seq is null then
        return 0;
    end if;
    perform set_config('jeton.actor', 'jeton', true);
    perform record_audit('audit.cut', null, null, null,
        jsonb_build_object('seq', last.seq, 'hash', encode(last.hash, 'hex')));
    delete from audit where seq <= last.seq;
    return last.seq - first + 1;
end $$;
comment on function cut_audit is
    'Removes rows that are older than so many days, at most so many rows.';
revoke execute on function cut_audit from public;
