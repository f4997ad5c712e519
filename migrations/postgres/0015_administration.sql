-- Administration by clients. Their tokens are for one reserved audience and have scopes of one
-- reserved beginning. Rows from before are left as they are: a client that happens to use these names
-- is no administrator, because its other audiences exclude that. They are checked when one of these
-- columns is written, so such a client can still be disabled.

create function keep_administration_apart() returns trigger
    language plpgsql as $$
begin
    if 'urn:jeton:administration' = any (new.serves) then
        raise exception 'no client serves urn:jeton:administration'
            using errcode = 'check_violation',
                  hint = 'Jeton itself is its resource server: take it out of serves';
    end if;
    if exists (select from unnest(new.scopes) as scope
               where scope like 'jeton:%'
                 and scope not in ('jeton:read', 'jeton:write', 'jeton:security')) then
        raise exception 'scopes that begin with jeton: are reserved'
            using errcode = 'check_violation',
                  hint = 'they are jeton:read, jeton:write and jeton:security';
    end if;
    if not (new.audiences @> '{urn:jeton:administration}'
            and new.audiences <@ '{urn:jeton:administration}') then
        raise exception 'a client for administration has no other audience'
            using errcode = 'check_violation',
                  hint = 'set audiences to {urn:jeton:administration}';
    end if;
    if new.token_lifetime_seconds > 900 then
        raise exception 'a token for administration lives for at most 900 seconds'
            using errcode = 'check_violation', hint = 'set token_lifetime_seconds to 900 or less';
    end if;
    return new;
end $$;
comment on function keep_administration_apart is
    'Refuses a client that would use what is reserved for administration for something else.';
create trigger client_keeps_administration_apart
    before insert or update of scopes, audiences, serves, token_lifetime_seconds on client
    for each row
    when ('urn:jeton:administration' = any (new.audiences || new.serves)
          or array_to_string(new.scopes, ' ') ~ '(^| )jeton:')
    execute function keep_administration_apart();
alter table client enable always trigger client_keeps_administration_apart;

-- A new administrator who was made although there was one.
create function record_recovery(named text) returns boolean
    language plpgsql strict security definer as $$
declare
    concerned uuid;
begin
    select client.id into concerned from client where client.client_id = named;
    if not found then
        return false;
    end if;
    perform record_audit('bootstrap.recover', concerned, named, null, '{}');
    return true;
end $$;
comment on function record_recovery is
    'Records in the audit trail that this client was made an administrator by someone with access to the database, although there was one. False if there is no such client.';
select guard_functions('^(keep_administration_apart|record_recovery)$');
