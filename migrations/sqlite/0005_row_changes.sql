-- Every way to write a row reaches the node and the audit trail: inserts, changed keys, REPLACE.
--
-- REPLACE (insert or replace, update or replace) deletes the rows that are in its way, and fires
-- their delete triggers only under pragma recursive_triggers. So triggers look for these rows
-- before an insert or an update. The statement may still be ignored after that. An announcement
-- too many costs one look. What is to be audited is only noted, and becomes a row of the trail
-- when the new row is in its table.

-- Rows as they were before the statement under way: those that it changes or may replace. Each
-- insert and each update clears it first, so it may hold notes of an insert that was ignored.
create table replaced_row (
    -- The key of the row.
    id         blob    not null,
    -- client.id of the client that it concerns.
    client     blob,
    -- client.client_id of that client.
    client_id  text,
    -- Its columns as JSON, as the views below show them.
    shown      text    not null,
    -- 1 if the row was deleted meanwhile, and so is in the audit trail already.
    gone       integer not null default 0,
    constraint replaced_row_gone_is_a_boolean check (gone in (0, 1))
) strict;

-- Rows as the audit trail shows them, with their keys. What is secret is compared and not shown.

create view audited_client as
select rowid as place, id, client_id,
       json_object('id', hex(id), 'client_id', client_id, 'name', name, 'state', state,
                   'grant_types', grant_types, 'scopes', scopes, 'default_scopes', default_scopes,
                   'audiences', audiences, 'serves', serves,
                   'token_lifetime_seconds', token_lifetime_seconds, 'not_before', not_before,
                   'created_at', created_at, 'version', version) as shown
from client;
create view audited_secret as
select rowid as place, id, client, hash,
       (select client_id from client where id = client_secret.client) as client_id,
       json_object('id', hex(id), 'client', hex(client), 'hash', 'same', 'label', label,
                   'created_at', created_at, 'expires_at', expires_at, 'retired_at', retired_at,
                   'burnt_at', burnt_at) as shown
from client_secret;
create view audited_installation as
select singleton, tag_key,
       json_object('tag_key', 'same', 'not_before', not_before, 'created_at', created_at) as shown
from installation;
create view audited_token as
select id, digest, client,
       (select client_id from client where id = access_token.client) as client_id,
       json_object('id', hex(id), 'digest', 'same', 'client', hex(client), 'secret', hex(secret),
                   'scopes', scopes, 'audiences', audiences, 'issued_at', issued_at,
                   'expires_at', expires_at) as shown
from access_token;
-- With the keep_until that a revocation will have, see below.
create view audited_revocation as
select revoked_token.id, access_token.client,
       (select client_id from client where id = access_token.client) as client_id,
       json_object('id', hex(revoked_token.id), 'revoked_at', revoked_at,
                   'keep_until', max(keep_until, coalesce(access_token.expires_at, 0))) as shown
from revoked_token left join access_token on access_token.id = revoked_token.id;

-- Clients, announced.

create trigger client_insert_is_announced after insert on client begin
    insert into change (kind, subject) values ('client', new.id);
end;
create trigger client_replacement_is_announced before insert on client begin
    insert into change (kind, subject)
    select 'client', id from client
    where id = new.id or client_id = new.client_id or rowid = new.rowid;
end;
create trigger client_replacement_by_update_is_announced before update on client begin
    insert into change (kind, subject)
    select 'client', id from client
    where (id = new.id or client_id = new.client_id or rowid = new.rowid) and id <> old.id;
end;
drop trigger client_update_is_announced;
create trigger client_update_is_announced after update on client begin
    insert into change (kind, subject) values ('client', old.id);
    insert into change (kind, subject) select 'client', new.id where new.id <> old.id;
end;

-- Clients, audited. The version is the etag of the row, so it grows with an edit by hand as well.
-- SQLite cannot change a row that is being written. So a second update sets the version, and the
-- trail says at once what it will be. That update is not audited itself: it is known by setting the
-- version that the last row of the trail names.

create trigger client_replacement_is_noted before insert on client begin
    delete from replaced_row;
    -- new.rowid is -1 if the statement names none.
    insert into replaced_row (id, client, client_id, shown)
    select id, id, client_id, shown from audited_client
    where id = new.id or client_id = new.client_id or (place = new.rowid and new.rowid <> -1);
end;
drop trigger client_creation_is_audited;
create trigger client_creation_is_audited after insert on client begin
    insert into audit (action, client, client_id, detail)
    select 'client.delete', client, client_id, json_remove(shown, '$.id', '$.client_id')
    from replaced_row where id <> new.id and not gone;
    insert into audit (action, client, client_id, detail)
    select 'client.create', id, client_id, json_remove(shown, '$.id', '$.client_id')
    from audited_client
    where id = new.id and not exists (select 1 from replaced_row where id = new.id and not gone);
    insert into audit (action, client, client_id, detail)
    select 'client.update', new.id, new.client_id,
           json_set(changed, '$.version', json_array(version, max(new.version, version + 1)))
    from (select was.shown ->> '$.version' as version,
                 (select json_group_object(b.key, json_array(b.value, a.value))
                  from json_each(was.shown) as b join json_each(now.shown) as a on a.key = b.key
                  where b.value is not a.value) as changed
          from replaced_row as was join audited_client as now on now.id = was.id
          where was.id = new.id and not was.gone)
    where changed <> '{}';
    update client
    set version = (select detail ->> '$.version[1]' from audit
                   where seq = (select max(seq) from audit))
    where id = new.id
      and version < (select detail ->> '$.version[1]' from audit
                     where seq = (select max(seq) from audit)
                       and action = 'client.update' and client = new.id);
    -- The same client, deleted and created anew, as REPLACE does under recursive_triggers.
    update client
    set version = (select (shown ->> '$.version') + 1 from replaced_row
                   where id = new.id and gone)
    where id = new.id
      and version <= (select shown ->> '$.version' from replaced_row where id = new.id and gone);
    delete from replaced_row;
end;
create trigger client_change_is_noted before update on client begin
    delete from replaced_row;
    insert into replaced_row (id, client, client_id, shown)
    select id, id, client_id, shown from audited_client
    where id in (old.id, new.id) or client_id = new.client_id or place = new.rowid;
end;
drop trigger client_update_is_audited;
create trigger client_update_is_audited after update on client
    when not exists (
        select 1 from audit
        where seq = (select max(seq) from audit) and action = 'client.update'
          and client = new.id and detail ->> '$.version[1]' = new.version
          and new.version <> old.version)
begin
    insert into audit (action, client, client_id, detail)
    select 'client.delete', client, client_id, json_remove(shown, '$.id', '$.client_id')
    from replaced_row where id <> old.id and not gone;
    insert into audit (action, client, client_id, detail)
    select 'client.update', new.id, new.client_id,
           json_set(changed, '$.version',
                    json_array(old.version, max(new.version, old.version + 1)))
    from (select (select json_group_object(b.key, json_array(b.value, a.value))
                  from json_each(was.shown) as b join json_each(now.shown) as a on a.key = b.key
                  where b.value is not a.value) as changed
          from replaced_row as was join audited_client as now on now.id = new.id
          where was.id = old.id)
    where changed <> '{}';
    update client
    set version = (select detail ->> '$.version[1]' from audit
                   where seq = (select max(seq) from audit))
    where id = new.id
      and version < (select detail ->> '$.version[1]' from audit
                     where seq = (select max(seq) from audit)
                       and action = 'client.update' and client = new.id);
    delete from replaced_row;
end;
create trigger client_removal_is_noted after delete on client begin
    update replaced_row set gone = 1 where id = old.id;
end;

-- Secrets, announced.

create trigger client_secret_insert_is_announced after insert on client_secret begin
    insert into change (kind, subject) values ('client', new.client);
end;
create trigger client_secret_replacement_is_announced before insert on client_secret begin
    insert into change (kind, subject)
    select 'client', client from client_secret where id = new.id or rowid = new.rowid;
end;
create trigger client_secret_replacement_by_update_is_announced
    before update on client_secret begin
    insert into change (kind, subject)
    select 'client', client from client_secret
    where (id = new.id or rowid = new.rowid) and id <> old.id;
end;

-- Secrets, audited.

create trigger client_secret_replacement_is_noted before insert on client_secret begin
    delete from replaced_row;
    insert into replaced_row (id, client, client_id, shown)
    select id, client, client_id,
           json_set(shown, '$.hash', iif(hash = new.hash, 'same', 'other'))
    from audited_secret where id = new.id or (place = new.rowid and new.rowid <> -1);
end;
drop trigger client_secret_creation_is_audited;
create trigger client_secret_creation_is_audited after insert on client_secret begin
    insert into audit (action, client, client_id, subject, detail)
    select 'secret.delete', client, client_id, id,
           json_remove(shown, '$.id', '$.client', '$.hash')
    from replaced_row where id <> new.id and not gone;
    insert into audit (action, client, client_id, subject, detail)
    select 'secret.create', client, client_id, id,
           json_remove(shown, '$.id', '$.client', '$.hash')
    from audited_secret
    where id = new.id and not exists (select 1 from replaced_row where id = new.id and not gone);
    insert into audit (action, client, client_id, subject, detail)
    select 'secret.update', client, client_id, id, changed
    from (select now.client, now.client_id, now.id,
                 (select json_group_object(
                             b.key, iif(b.key = 'hash', 'changed', json_array(b.value, a.value)))
                  from json_each(was.shown) as b join json_each(now.shown) as a on a.key = b.key
                  where b.value is not a.value) as changed
          from replaced_row as was join audited_secret as now on now.id = was.id
          where was.id = new.id and not was.gone)
    where changed <> '{}';
    delete from replaced_row;
end;
create trigger client_secret_change_is_noted before update on client_secret begin
    delete from replaced_row;
    insert into replaced_row (id, client, client_id, shown)
    select id, client, client_id, shown from audited_secret
    where (id = new.id or place = new.rowid) and id <> old.id;
end;
create trigger client_secret_replacement_by_update_is_audited after update on client_secret begin
    insert into audit (action, client, client_id, subject, detail)
    select 'secret.delete', client, client_id, id,
           json_remove(shown, '$.id', '$.client', '$.hash')
    from replaced_row where id <> old.id and not gone;
    delete from replaced_row;
end;
-- The secrets of a client that is deleted go with it. If it is replaced it goes on without them,
-- where pragma foreign_keys deletes them with its old row.
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
                        'burnt_at', old.burnt_at));
end;
create trigger client_secret_removal_is_noted after delete on client_secret begin
    update replaced_row set gone = 1 where id = old.id;
end;

-- The installation. Its first row is made by the first migration, before anything can be audited.

create trigger installation_insert_is_announced after insert on installation begin
    insert into change (kind) values ('everything');
end;
create trigger installation_removal_is_announced after delete on installation begin
    insert into change (kind) values ('everything');
end;
create trigger installation_replacement_is_noted before insert on installation begin
    delete from replaced_row;
    insert into replaced_row (id, shown)
    select x'', json_set(shown, '$.tag_key', iif(tag_key = new.tag_key, 'same', 'other'))
    from audited_installation where singleton = new.singleton;
end;
create trigger installation_creation_is_audited after insert on installation begin
    insert into audit (action, detail)
    select 'installation.create', json_remove(shown, '$.tag_key')
    from audited_installation
    where exists (select 1 from audit) and not exists (select 1 from replaced_row where not gone);
    insert into audit (action, detail)
    select 'installation.update', changed
    from (select (select json_group_object(
                             b.key, iif(b.key = 'tag_key', 'changed', json_array(b.value, a.value)))
                  from json_each(was.shown) as b join json_each(now.shown) as a on a.key = b.key
                  where b.value is not a.value) as changed
          from replaced_row as was, audited_installation as now where not was.gone)
    where changed <> '{}';
    delete from replaced_row;
end;
create trigger installation_removal_is_noted after delete on installation begin
    update replaced_row set gone = 1;
end;

-- Revocations. One that is removed before its token expires makes the token active again, and Jeton
-- removes revocations by keep_until: so it is never before that. A second update sets it, and is no
-- change for the trail, where the view shows at once what it will be.

create trigger revocation_update_is_announced after update on revoked_token begin
    insert into change (kind, subject) values ('token', old.id);
    insert into change (kind, subject) select 'token', new.id where new.id <> old.id;
end;
create trigger revocation_replacement_is_noted before insert on revoked_token begin
    delete from replaced_row;
    insert into replaced_row (id, shown)
    select id, shown from audited_revocation where id = new.id;
end;
drop trigger revocation_is_audited;
create trigger revocation_is_audited after insert on revoked_token begin
    insert into audit (action, client, client_id, subject, detail)
    select 'token.revoke', client, client_id, id, json_remove(shown, '$.id')
    from audited_revocation
    where id = new.id and not exists (select 1 from replaced_row where not gone);
    insert into audit (action, client, client_id, subject, detail)
    select 'token.revoke', client, client_id, id, changed
    from (select now.client, now.client_id, now.id,
                 (select json_group_object(b.key, json_array(b.value, a.value))
                  from json_each(was.shown) as b join json_each(now.shown) as a on a.key = b.key
                  where b.value is not a.value) as changed
          from replaced_row as was join audited_revocation as now on now.id = was.id
          where not was.gone)
    where changed <> '{}';
    update revoked_token
    set keep_until = (select expires_at from access_token where id = new.id)
    where id = new.id
      and keep_until < (select expires_at from access_token where id = new.id);
    delete from replaced_row;
end;
create trigger revocation_change_is_noted before update on revoked_token begin
    delete from replaced_row;
    insert into replaced_row (id, shown)
    select id, shown from audited_revocation where id = old.id;
end;
drop trigger revocation_update_is_audited;
create trigger revocation_update_is_audited after update on revoked_token begin
    insert into audit (action, client, client_id, subject, detail)
    select 'token.revoke', client, client_id, id, changed
    from (select now.client, now.client_id, now.id,
                 (select json_group_object(b.key, json_array(b.value, a.value))
                  from json_each(was.shown) as b join json_each(now.shown) as a on a.key = b.key
                  where b.value is not a.value) as changed
          from replaced_row as was join audited_revocation as now on now.id = new.id
          where was.id = old.id)
    where changed <> '{}';
    update revoked_token
    set keep_until = (select expires_at from access_token where id = new.id)
    where id = new.id
      and keep_until < (select expires_at from access_token where id = new.id);
    delete from replaced_row;
end;
create trigger revocation_removal_is_noted after delete on revoked_token begin
    update replaced_row set gone = 1 where id = old.id;
end;

-- Tokens. An issued one is not announced, since no node caches that there is none; one that is
-- replaced is. A token that is inserted by hand cannot be told from one that a node issued.

create trigger access_token_replacement_is_announced before insert on access_token
    when exists (select 1 from access_token where id = new.id) begin
    insert into change (kind, subject) values ('token', new.id);
    delete from replaced_row;
    insert into replaced_row (id, client, client_id, shown)
    select id, client, client_id,
           json_set(shown, '$.digest', iif(digest = new.digest, 'same', 'other'))
    from audited_token where id = new.id;
end;
create trigger access_token_replacement_is_audited after insert on access_token
    when exists (select 1 from replaced_row) begin
    insert into audit (action, client, client_id, subject, detail)
    select 'token.create', client, client_id, id,
           json_remove(shown, '$.id', '$.client', '$.digest')
    from audited_token
    where id = new.id and exists (select 1 from replaced_row where id = new.id and gone);
    insert into audit (action, client, client_id, subject, detail)
    select 'token.update', client, client_id, id, changed
    from (select now.client, now.client_id, now.id,
                 (select json_group_object(
                             b.key, iif(b.key = 'digest', 'changed', json_array(b.value, a.value)))
                  from json_each(was.shown) as b join json_each(now.shown) as a on a.key = b.key
                  where b.value is not a.value) as changed
          from replaced_row as was join audited_token as now on now.id = was.id
          where was.id = new.id and not was.gone)
    where changed <> '{}';
    delete from replaced_row;
end;
drop trigger access_token_update_is_announced;
create trigger access_token_update_is_announced after update on access_token begin
    insert into change (kind, subject) values ('token', old.id);
    insert into change (kind, subject) select 'token', new.id where new.id <> old.id;
end;
create trigger access_token_change_is_noted before update on access_token begin
    delete from replaced_row;
    insert into replaced_row (id, client, client_id, shown)
    select id, client, client_id,
           json_set(shown, '$.digest', iif(digest = new.digest, 'same', 'other'))
    from audited_token where id in (old.id, new.id);
end;
drop trigger access_token_update_is_audited;
create trigger access_token_update_is_audited after update on access_token begin
    insert into audit (action, client, client_id, subject, detail)
    select 'token.delete', client, client_id, id,
           json_remove(shown, '$.id', '$.client', '$.digest')
    from replaced_row where id <> old.id and not gone;
    insert into audit (action, client, client_id, subject, detail)
    select 'token.update', client, client_id, id, changed
    from (select now.client, now.client_id, now.id,
                 (select json_group_object(
                             b.key, iif(b.key = 'digest', 'changed', json_array(b.value, a.value)))
                  from json_each(was.shown) as b join json_each(now.shown) as a on a.key = b.key
                  where b.value is not a.value) as changed
          from replaced_row as was join audited_token as now on now.id = new.id
          where was.id = old.id)
    where changed <> '{}';
    delete from replaced_row;
end;
create trigger access_token_removal_is_noted after delete on access_token
    when exists (select 1 from replaced_row) begin
    update replaced_row set gone = 1 where id = old.id;
end;

-- Default scopes are part of the scopes, for what is written from now on, as the constraint of
-- Postgres demands. A row that breaks the rule already may still be changed in other columns.

create trigger client_default_scopes_are_registered before insert on client
    when exists (
        select 1
        from json_each('[' || replace(json_quote(new.default_scopes), ' ', '","') || ']')
        where value <> '' and instr(' ' || new.scopes || ' ', ' ' || value || ' ') = 0)
begin
    select raise(abort, 'default_scopes must be part of scopes: name only those in default_scopes');
end;
create trigger client_default_scopes_stay_registered
    before update of scopes, default_scopes on client
    when (new.scopes <> old.scopes or new.default_scopes <> old.default_scopes)
        and exists (
            select 1
            from json_each('[' || replace(json_quote(new.default_scopes), ' ', '","') || ']')
            where value <> '' and instr(' ' || new.scopes || ' ', ' ' || value || ' ') = 0)
begin
    select raise(abort, 'default_scopes must be part of scopes: set both in the same statement');
end;

-- A row of the audit trail that is sealed is not replaced either; update is refused already.
create trigger audit_is_not_replaced before insert on audit
    when exists (select 1 from audit where seq = new.seq and hash <> x'') begin
    select raise(abort, 'rows of the audit trail are never changed');
end;
