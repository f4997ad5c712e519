-- Hashes of secrets that ended long ago are erased, as on Postgres.

-- When its hash was erased, 30 days after it had ended; null while it has one.
alter table client_secret add column forgotten_at integer
    constraint client_secret_forgotten_has_ended
        check (forgotten_at is null
               or coalesce(retired_at <= forgotten_at or burnt_at <= forgotten_at
                           or expires_at <= forgotten_at, 0));

-- As before, with the column of this migration.
drop view audited_secret;
create view audited_secret as
select rowid as place, id, client, hash,
       (select client_id from client where id = client_secret.client) as client_id,
       json_object('id', hex(id), 'client', hex(client), 'hash', 'same', 'label', label,
                   'created_at', created_at, 'expires_at', expires_at, 'retired_at', retired_at,
                   'burnt_at', burnt_at, 'retire_at', retire_at,
                   'kept_expires_at', kept_expires_at, 'forgotten_at', forgotten_at) as shown
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
                union all select 'kept_expires_at', old.kept_expires_at, new.kept_expires_at
                union all select 'forgotten_at', old.forgotten_at, new.forgotten_at)
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
                        'forgotten_at', old.forgotten_at));
end;
