-- Hashes of secrets that ended long ago are erased. A secret that nobody can restore needs none, and a
-- hash that is not there cannot be attacked. What takes its place is a hash of nothing in the form that
-- nodes of every version read: they compare no hash of a secret that has ended.

alter table client_secret
    add column forgotten_at timestamptz,
    add constraint client_secret_forgotten_has_ended
        check (forgotten_at is null
               or coalesce(retired_at <= forgotten_at or burnt_at <= forgotten_at
                           or expires_at <= forgotten_at, false));
comment on column client_secret.forgotten_at is
    'When its hash was erased, 30 days after it had ended; null while it has one. It had ended by then and stays so: it cannot be restored.';

create function forget_secret_hashes(node_now timestamptz) returns bigint
    language plpgsql strict security definer as $$
declare
    now timestamptz := clock_timestamp();
    -- A clock that is ahead does not end the time in which a secret can be restored.
    ended timestamptz := least(node_now, now) - interval '30 days';
    forgotten bigint;
begin
    perform set_config('jeton.actor', 'jeton', true);
    -- Each has a row in the audit trail. Rows that somebody is changing are left to the next call, so
    -- that nobody waits.
    update client_secret set hash = '$argon2id$', forgotten_at = now
    where id in (
        select id from client_secret
        where forgotten_at is null
          and (retired_at < ended or burnt_at < ended or expires_at < ended)
        limit 200 for update skip locked);
    get diagnostics forgotten = row_count;
    return forgotten;
end $$;
comment on function forget_secret_hashes is
    'Erases the hashes of secrets that ended more than 30 days ago, by the earlier of the clocks of this database and of a node, at most two hundred at once. Returns how many secrets that were.';

-- Nodes, operators and readers go on before the script of the roles is run again. It alone grants what
-- is new; here those who may do the like already are given it.
select guard_functions('^forget_secret_hashes$');
do $$
declare
    may record;
begin
    for may in
        select distinct grantee::regrole as name
        from pg_proc cross join lateral aclexplode(proacl)
        where pg_proc.oid = 'forget_secret_uses()'::regprocedure and grantee <> 0
          and grantee <> proowner
    loop
        execute format(
            'grant execute on function forget_secret_hashes(timestamptz) to %s', may.name);
    end loop;
    for may in
        select distinct grantee::regrole as name
        from pg_attribute cross join lateral aclexplode(attacl)
        where attrelid = 'client_secret'::regclass and attname = 'retired_at' and grantee <> 0
          and privilege_type = 'SELECT'
    loop
        execute format('grant select (forgotten_at) on client_secret to %s', may.name);
    end loop;
end $$;
