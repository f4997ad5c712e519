-- Revocations in batches. Triggers that run for each row cost four times as much as statements for
-- the whole batch, and the lock that puts changes in order is held meanwhile.

-- The function writes the change feed and the audit trail itself, so the triggers of the rows that it
-- inserts have nothing left to do. They are told by a setting that lasts as long as the insert.
-- Anybody can set it, so it counts only for those who may write the audit trail anyway: the owner,
-- with whose rights the function runs.
create function revoke_tokens(ids uuid[]) returns void
    language plpgsql strict security definer as $$
declare
    revoked uuid[];
    previous bytea;
    place bigint;
    token record;
    entry audit;
    entries audit[];
begin
    -- In the order of the ids, so that batches that share tokens do not wait for each other in a
    -- circle. Before the lock for the same reason: the row may be one of an edit by hand that is
    -- still open, and takes the lock when it commits.
    perform set_config('jeton.is_noted', 'on', true);
    with made as (
        insert into revoked_token (id, revoked_at, keep_until)
        select found.id, clock_timestamp(), found.expires_at
        from unnest(ids) as asked (id)
             cross join lateral
                 (select access_token.id, access_token.expires_at from access_token
                  where access_token.id = asked.id limit 1) as found
        order by found.id
        on conflict on constraint revoked_token_pk do nothing
        returning revoked_token.id)
    select array_agg(made.id order by made.id) into revoked from made;
    perform set_config('jeton.is_noted', '', true);
    if revoked is null then
        return;
    end if;

    lock table only installation in share update exclusive mode;
    insert into change (kind, subject)
        select 'token', new.id from unnest(revoked) with ordinality as new (id, place)
        order by new.place;
    perform pg_notify('jeton_change', '');

    -- The rows of the trail are those that audit_row writes for a client that revokes its own token.
    -- One whose client was deleted meanwhile names it by its key.
    select audit.seq, audit.hash into place, previous from audit order by seq desc limit 1;
    for token in
        select new.id, found.client, client.client_id
        from unnest(revoked) with ordinality as new (id, place)
             cross join lateral
                 (select access_token.client from access_token
                  where access_token.id = new.id limit 1) as found
             left join client on client.id = found.client
        order by new.place
    loop
        place := coalesce(place, 0) + 1;
        entry := row(
            place, clock_timestamp(), 'client', session_user, 'token.revoke',
            case when token.client_id is null then token.client end, token.client_id, token.id,
            '{}', null);
        previous := audit_hash(coalesce(previous, ''), entry);
        entry.hash := previous;
        entries := entries || entry;
    end loop;
    insert into audit select * from unnest(entries);
end $$;
comment on function revoke_tokens is
    'Revokes these tokens until they expire, each in the name of the client that it was issued to, with one row each in the change feed and the audit trail. Passes over ids without a token and tokens that are revoked already.';

-- As before, but for the rows of that function, which have their places already.
drop trigger revoked_token_is_announced on revoked_token;
create constraint trigger revoked_token_is_announced after insert or update on revoked_token
    deferrable initially deferred for each row
    when ((current_setting('jeton.is_noted', true) = 'on'
           and has_table_privilege('audit'::regclass, 'insert')) is not true)
    execute function announce_revocation();
drop trigger revocation_is_audited on revoked_token;
create constraint trigger revocation_is_audited after insert or update on revoked_token
    deferrable initially deferred for each row
    when ((current_setting('jeton.is_noted', true) = 'on'
           and has_table_privilege('audit'::regclass, 'insert')) is not true)
    execute function audit_row('token', 'revoke');
-- The function takes the end of the token from its row.
drop trigger revocation_outlives_its_token on revoked_token;
create trigger revocation_outlives_its_token before insert or update on revoked_token
    for each row
    when ((current_setting('jeton.is_noted', true) = 'on'
           and has_table_privilege('audit'::regclass, 'insert')) is not true)
    execute function keep_revocation();
do $$
declare
    quiet record;
begin
    for quiet in select * from quiet_triggers() loop
        execute format('alter table %s enable always trigger %I', quiet.relation, quiet.name);
    end loop;
end $$;

-- Those who record tokens may call it, before the script of the roles is run again. It alone grants
-- what is new.
select guard_functions('^revoke_tokens$');
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
        execute format('grant execute on function revoke_tokens(uuid[]) to %s', may.name);
    end loop;
end $$;
