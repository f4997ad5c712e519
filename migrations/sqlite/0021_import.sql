-- Clients of other systems, with their secrets. The columns mean what they mean on Postgres.

-- A client id may also have what e-mail addresses, URLs and URNs need. SQLite drops no constraint,
-- and making the table anew would delete the secrets that refer to it, so the text of the constraint
-- is replaced where SQLite keeps it: the way that its documentation names for a check.
pragma writable_schema = on;
update sqlite_schema
set sql = replace(replace(sql, 'client_client_id_is_unreserved', 'client_client_id_is_printable'),
                  '[^A-Za-z0-9._~-]', '[^A-Za-z0-9._~@:/+%=-]')
where type = 'table' and name = 'client';
pragma writable_schema = reset;

-- Hash of the text of a secret that another system made, or of that text with argon2id. Null for
-- a secret that was made here. hash then matches no text.
alter table client_secret add column foreign_hash text
    constraint client_secret_foreign_hash_is_of_a_known_kind
        check (foreign_hash is null or (length(foreign_hash) <= 256 and (
            foreign_hash glob '$argon2id$*' or foreign_hash glob '$pbkdf2-sha1$*'
            or foreign_hash glob '$pbkdf2-sha256$*' or foreign_hash glob '$pbkdf2-sha512$*'
            or foreign_hash glob '$2[aby]$*')));
-- Whether another system made it. Such a secret has no tag, so it does not end with a tag key.
alter table client_secret add column is_foreign integer not null default 0
    constraint client_secret_is_foreign_says_whether_there_is_a_foreign_hash
        check (is_foreign = (foreign_hash is not null));
create index client_secret_of_other_systems on client_secret (client)
    where foreign_hash is not null;

-- As before, with the columns of this migration.
drop view audited_secret;
create view audited_secret as
select rowid as place, id, client, hash, foreign_hash,
       (select client_id from client where id = client_secret.client) as client_id,
       json_object('id', hex(id), 'client', hex(client), 'hash', 'same', 'label', label,
                   'created_at', created_at, 'expires_at', expires_at, 'retired_at', retired_at,
                   'burnt_at', burnt_at, 'retire_at', retire_at,
                   'kept_expires_at', kept_expires_at, 'forgotten_at', forgotten_at,
                   'is_foreign', is_foreign) as shown
from client_secret;
drop trigger client_secret_replacement_is_noted;
create trigger client_secret_replacement_is_noted before insert on client_secret begin
    delete from replaced_row;
    insert into replaced_row (id, client, client_id, shown)
    select id, client, client_id,
           json_set(shown, '$.hash', iif(hash = new.hash and foreign_hash is new.foreign_hash,
                                         'same', 'other'))
    from audited_secret where id = new.id or (place = new.rowid and new.rowid <> -1);
end;
drop trigger client_secret_update_is_audited;
create trigger client_secret_update_is_audited after update on client_secret begin
    insert into audit (action, client, client_id, subject, detail)
    select 'secret.update', new.client, (select client_id from client where id = new.client),
           new.id, changed
    from (select json_group_object(
                     name, iif(name in ('hash', 'foreign_hash'), 'changed',
                               json_array(before, after))) as changed
          from (select 'id' as name, hex(old.id) as before, hex(new.id) as after
                union all select 'client', hex(old.client), hex(new.client)
                union all select 'hash', old.hash, new.hash
                union all select 'foreign_hash', old.foreign_hash, new.foreign_hash
                union all select 'label', old.label, new.label
                union all select 'created_at', old.created_at, new.created_at
                union all select 'expires_at', old.expires_at, new.expires_at
                union all select 'retired_at', old.retired_at, new.retired_at
                union all select 'burnt_at', old.burnt_at, new.burnt_at
                union all select 'retire_at', old.retire_at, new.retire_at
                union all select 'kept_expires_at', old.kept_expires_at, new.kept_expires_at
                union all select 'forgotten_at', old.forgotten_at, new.forgotten_at
                union all select 'is_foreign', old.is_foreign, new.is_foreign)
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
                        'kept_expires_at', old.kept_expires_at,
                        'forgotten_at', old.forgotten_at, 'is_foreign', old.is_foreign));
end;
