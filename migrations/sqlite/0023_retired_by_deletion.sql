-- What happens to a secret while its client is deleted holds when the client comes back, as on
-- Postgres.

-- Secrets of deleted clients, as rows of client_secret.
create view kept_secret as
select unhex(value ->> '$.id') as id, deleted_client.id as client, value ->> '$.hash' as hash,
       value ->> '$.label' as label, value ->> '$.created_at' as created_at,
       value ->> '$.expires_at' as expires_at, value ->> '$.retired_at' as retired_at,
       value ->> '$.burnt_at' as burnt_at, value ->> '$.retire_at' as retire_at,
       value ->> '$.kept_expires_at' as kept_expires_at,
       value ->> '$.forgotten_at' as forgotten_at, value ->> '$.foreign_hash' as foreign_hash,
       value ->> '$.foreign_hash' is not null as is_foreign
from deleted_client, json_each(deleted_client.secrets);

-- A pattern that covers all hosts is refused, as Jeton itself refuses it. Rows from before stay as
-- they are, and nobody can read them.
create trigger client_grantable_audiences_have_hosts before insert on client
    when instr(new.grantable_audiences, ':/*') + instr(new.grantable_audiences, '//*') > 0
begin
    select raise(abort, 'client_grantable_audiences_have_hosts');
end;
create trigger client_grantable_audiences_keep_hosts before update of grantable_audiences on client
    when instr(new.grantable_audiences, ':/*') + instr(new.grantable_audiences, '//*') > 0
begin
    select raise(abort, 'client_grantable_audiences_have_hosts');
end;
