-- Evidence of the use of secrets, and retirement at a later time that can be taken back. Tables and
-- columns mean what they mean on Postgres.

-- From when a retirement that was asked for in advance refuses it; null if there is none. expires_at
-- is not later: by it nodes of every version refuse a secret at the same moment.
alter table client_secret add column retire_at integer
    constraint client_secret_retirement_ends_it
        check (retire_at is null or (expires_at is not null and expires_at <= retire_at));
-- What expires_at was before that retirement, which puts it back when it is taken back. Null if it
-- never expired, or if there is no such retirement.
alter table client_secret add column kept_expires_at integer;

-- As before, with the columns of this migration.
drop view audited_secret;
create view audited_secret as
select rowid as place, id, client, hash,
       (select client_id from client where id = client_secret.client) as client_id,
       json_object('id', hex(id), 'client', hex(client), 'hash', 'same', 'label', label,
                   'created_at', created_at, 'expires_at', expires_at, 'retired_at', retired_at,
                   'burnt_at', burnt_at, 'retire_at', retire_at,
                   'kept_expires_at', kept_expires_at) as shown
from client_secret;
drop trigger client_secret_update_is_audited;
create trigger client_secret_update_is_audited after update on client_secret begin
    insert into audit (action, client, client_id, subject, detail)
    select 'secret.update', new.client, (select client_id from client where id = new.client),
           new.id, changed
    from (select json_group_object(
                     name, iif(name = 'hash', 'changed', json_array(before, after))) as changed
          from (select 'id' as name, hex(old.id) as before, hex(new.id) as after
                union all select 'client', hex(old.client), hex(new.client)
                union all select 'hash', old.hash, new.hash
                union all select 'label', old.label, new.label
                union all select 'created_at', old.created_at, new.created_at
                union all select 'expires_at', old.expires_at, new.expires_at
                union all select 'retired_at', old.retired_at, new.retired_at
                union all select 'burnt_at', old.burnt_at, new.burnt_at
                union all select 'retire_at', old.retire_at, new.retire_at
                union all select 'kept_expires_at', old.kept_expires_at, new.kept_expires_at)
          where before is not after)
    where changed <> '{}';
end;
-- The same trigger again, so that it still runs before the one above: the newest runs first.
drop trigger client_secret_replacement_by_update_is_audited;
create trigger client_secret_replacement_by_update_is_audited after update on client_secret begin
    insert into audit (action, client, client_id, subject, detail)
    select 'secret.delete', client, client_id, id,
           json_remove(shown, '$.id', '$.client', '$.hash')
    from replaced_row where id <> old.id and not gone;
    delete from replaced_row;
end;
drop trigger client_secret_removal_is_audited;
create trigger client_secret_removal_is_audited after delete on client_secret
    when exists (select 1 from client where id = old.client)
      or exists (select 1 from replaced_row where id = old.client)
begin
    insert into audit (action, client, client_id, subject, detail)
    values ('secret.delete', old.client,
            coalesce((select client_id from client where id = old.client),
                     (select client_id from replaced_row where id = old.client)),
            old.id,
            json_object('label', old.label, 'created_at', old.created_at,
                        'expires_at', old.expires_at, 'retired_at', old.retired_at,
                        'burnt_at', old.burnt_at, 'retire_at', old.retire_at,
                        'kept_expires_at', old.kept_expires_at));
end;

-- When each secret was used, whatever for. Nothing here is announced or audited.
create table secret_use (
    -- client_secret.id of the secret. The row is removed some minutes after the secret.
    secret               blob    not null,
    -- When it authenticated a client for the first time; null if it never did.
    first_used_at        integer,
    -- When it authenticated a client for the last time; null if it never did.
    last_used_at         integer,
    -- The source of that use; null if it is not known.
    last_source          text,
    -- How often it authenticated a client.
    uses                 integer not null default 0,
    -- How often it was refused because it was retired, leaked or expired, or its client disabled.
    refused              integer not null default 0,
    -- When that happened last; null if it never did.
    last_refused_at      integer,
    -- The source of that call; null if it is not known.
    last_refused_source  text,
    constraint secret_use_pk primary key (secret)
) strict, without rowid;

-- From where each secret was used: the eight sources that used it last.
create table secret_source (
    -- client_secret.id of the secret.
    secret         blob    not null,
    -- An address, or the /64 network of an IPv6 address.
    source         text    not null,
    -- When the secret was used from there for the first time since the source is in this list.
    first_used_at  integer not null,
    -- When the secret was used from there for the last time.
    last_used_at   integer not null,
    -- How often the secret was used from there since the source is in this list.
    uses           integer not null,
    constraint secret_source_pk primary key (secret, source)
) strict, without rowid;

-- The nodes that count uses, usually one. A node has a row here before it serves, and removes it when
-- it stops in order.
create table evidence (
    -- By what others name the node here.
    recorder    blob    not null,
    -- When the node began to count.
    since       integer not null,
    -- Everything that the node counted until then is in secret_use.
    flushed_at  integer not null,
    -- By when the node wants to write again. A row that is overdue becomes a gap.
    due_at      integer not null,
    constraint evidence_pk primary key (recorder)
) strict, without rowid;

-- Times of which it is not known which secrets were used. The first one is the time before anything
-- was counted.
create table evidence_gap (
    -- When it begins; the smallest integer for the time before anything was counted.
    since  integer not null,
    -- When it ends; the largest integer until the first node counts.
    until  integer not null,
    constraint evidence_gap_pk primary key (since, until)
) strict, without rowid;
insert into evidence_gap (since, until) values (-9223372036854775808, 9223372036854775807);
