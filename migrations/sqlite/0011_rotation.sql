-- Rotation of the tag key, revocation of all tokens, and secrets by their expiry. The columns mean
-- what they mean on Postgres.

drop view audited_installation;
drop view audited_client;

-- The tag key that a rotation has offered: accepted, and not used to make anything yet.
alter table installation add column next_tag_key blob
    constraint installation_next_tag_key_is_256_bits check (length(next_tag_key) = 32);
-- The tag key before the last rotation: accepted until it is retired. Not beside a next one.
alter table installation add column previous_tag_key blob
    constraint installation_previous_tag_key_is_256_bits check (length(previous_tag_key) = 32)
    constraint installation_accepts_two_tag_keys_at_most
        check (next_tag_key is null or previous_tag_key is null);
-- Since when the current tag key is used. Null if it is the first one.
alter table installation add column tag_key_since integer;

-- Nodes ask for secrets that end soon.
create index client_secret_by_expiry on client_secret (expires_at)
    where retired_at is null and burnt_at is null;

-- The audit trail shows generations, by which all tokens are revoked, and that a key was changed.

create view audited_client as
select rowid as place, id, client_id,
       json_object('id', hex(id), 'client_id', client_id, 'name', name, 'state', state,
                   'grant_types', grant_types, 'scopes', scopes, 'default_scopes', default_scopes,
                   'audiences', audiences, 'serves', serves,
                   'token_lifetime_seconds', token_lifetime_seconds,
                   'tokens_per_second', tokens_per_second, 'token_burst', token_burst,
                   'live_tokens', live_tokens, 'not_before', not_before,
                   'created_at', created_at, 'version', version, 'generation', generation) as shown
from client;
create view audited_installation as
select singleton, tag_key, next_tag_key, previous_tag_key,
       json_object('tag_key', 'same', 'next_tag_key', 'same', 'previous_tag_key', 'same',
                   'tag_key_since', tag_key_since, 'not_before', not_before,
                   'created_at', created_at, 'generation', generation) as shown
from installation;

drop trigger installation_replacement_is_noted;
create trigger installation_replacement_is_noted before insert on installation begin
    delete from replaced_row;
    insert into replaced_row (id, shown)
    select x'', json_set(
        shown, '$.tag_key', iif(tag_key is new.tag_key, 'same', 'other'),
        '$.next_tag_key', iif(next_tag_key is new.next_tag_key, 'same', 'other'),
        '$.previous_tag_key', iif(previous_tag_key is new.previous_tag_key, 'same', 'other'))
    from audited_installation where singleton = new.singleton;
end;
drop trigger installation_creation_is_audited;
create trigger installation_creation_is_audited after insert on installation begin
    insert into audit (action, detail)
    select 'installation.create',
           json_remove(shown, '$.tag_key', '$.next_tag_key', '$.previous_tag_key')
    from audited_installation
    where exists (select 1 from audit) and not exists (select 1 from replaced_row where not gone);
    insert into audit (action, detail)
    select 'installation.update', changed
    from (select (select json_group_object(
                             b.key,
                             iif(b.key like '%tag_key', 'changed', json_array(b.value, a.value)))
                  from json_each(was.shown) as b join json_each(now.shown) as a on a.key = b.key
                  where b.value is not a.value) as changed
          from replaced_row as was, audited_installation as now where not was.gone)
    where changed <> '{}';
    delete from replaced_row;
end;
drop trigger installation_update_is_audited;
create trigger installation_update_is_audited after update on installation begin
    insert into audit (action, detail)
    select 'installation.update', changed
    from (select json_group_object(
                     name, iif(name like '%tag_key', 'changed', json_array(before, after)))
                     as changed
          from (select 'tag_key' as name, old.tag_key as before, new.tag_key as after
                union all select 'next_tag_key', old.next_tag_key, new.next_tag_key
                union all select 'previous_tag_key', old.previous_tag_key, new.previous_tag_key
                union all select 'tag_key_since', old.tag_key_since, new.tag_key_since
                union all select 'not_before', old.not_before, new.not_before
                union all select 'created_at', old.created_at, new.created_at
                union all select 'generation', old.generation, new.generation)
          where before is not after)
    where changed <> '{}';
end;
drop trigger installation_removal_is_audited;
create trigger installation_removal_is_audited after delete on installation begin
    insert into audit (action, detail)
    values ('installation.delete',
            json_object('tag_key_since', old.tag_key_since, 'not_before', old.not_before,
                        'created_at', old.created_at, 'generation', old.generation));
end;

-- As before, with the generation.
drop trigger client_removal_is_audited;
create trigger client_removal_is_audited after delete on client begin
    insert into audit (action, client, client_id, detail)
    values ('client.delete', old.id, old.client_id,
            json_object('name', old.name, 'state', old.state, 'grant_types', old.grant_types,
                        'scopes', old.scopes, 'default_scopes', old.default_scopes,
                        'audiences', old.audiences, 'serves', old.serves,
                        'token_lifetime_seconds', old.token_lifetime_seconds,
                        'tokens_per_second', old.tokens_per_second,
                        'token_burst', old.token_burst, 'live_tokens', old.live_tokens,
                        'not_before', old.not_before, 'created_at', old.created_at,
                        'version', old.version, 'generation', old.generation));
end;
