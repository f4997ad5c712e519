-- Reports of leaked secrets. Nodes may not change secrets, and this function lets them do that one
-- thing. It cannot be undone, but for the owner.

create function burn_secret(named uuid) returns boolean
    language plpgsql strict security definer as $$
declare
    moment timestamptz := clock_timestamp();
begin
    update client_secret set retired_at = coalesce(retired_at, moment), burnt_at = moment
        where client_secret.id = named and client_secret.burnt_at is null;
    return found;
end $$;
comment on function burn_secret is
    'Declares the secret of this id leaked: it no longer authenticates, and tokens issued with it are inactive. False if there is none, or if it leaked before.';

-- Those who record tokens may call it, before the script of the roles is run again. It alone grants
-- what is new.
select guard_functions('^burn_secret$');
do $$
declare
    may record;
begin
    for may in
        select distinct grantee::regrole as name
        from pg_class cross join lateral aclexplode(relacl)
        where pg_class.oid = 'access_token'::regclass and privilege_type = 'INSERT'
          and grantee <> 0 and grantee <> relowner
    loop
        execute format('grant execute on function burn_secret(uuid) to %s', may.name);
    end loop;
end $$;
