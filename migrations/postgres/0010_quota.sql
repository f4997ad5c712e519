-- Limits on issuing tokens to a client, and a short row of the audit trail for a client that revokes
-- its own token.

-- 1. Quotas.

alter table client
    add column tokens_per_second integer,
    add column token_burst integer,
    add column live_tokens integer,
    add constraint client_tokens_per_second_is_a_limit
        check (tokens_per_second between 1 and 1000000000),
    add constraint client_token_burst_is_a_limit check (token_burst between 1 and 1000000000),
    add constraint client_live_tokens_is_a_limit check (live_tokens between 1 and 1000000000);
comment on column client.tokens_per_second is
    'Tokens per second that may be issued to it for as long as it likes; null for the default of the node.';
comment on column client.token_burst is
    'Tokens that may be issued to it at once after a pause; null for the default of the node.';
comment on column client.live_tokens is
    'Tokens of it that may live at the same time; null for the default of the node.';

-- 2. The audit trail. Clients revoke their own tokens all the time, so nothing is said twice in the
-- row of such a revocation: the actor is `client` for the client of the row, and client and detail
-- are left out. Any other revocation has the row that it had.

-- As before, but for the actor of such a row.
create or replace function record_audit(
    action text, client uuid, client_id text, subject uuid, detail jsonb)
    returns void language plpgsql security definer as $$
declare
    last audit;
    entry audit;
    actor text := nullif(current_setting('jeton.actor', true), '');
begin
    lock table only installation in share update exclusive mode;
    select * into last from audit order by seq desc limit 1;
    if client is null and action = 'token.revoke' and actor = 'client:' || client_id then
        actor := 'client';
    end if;
    entry := row(
        coalesce(last.seq, 0) + 1, clock_timestamp(), actor, session_user,
        action, client, client_id, subject, detail, null);
    entry.hash := audit_hash(coalesce(last.hash, ''), entry);
    insert into audit select entry.*;
end $$;

-- As before, but for routine revocations. One is routine if the client of the token says that it made
-- it, just now, and until the token expires.
create or replace function audit_row() returns trigger
    language plpgsql security definer as $$
declare
    thing text := tg_argv[0];
    verb text := coalesce(tg_argv[1], lower(replace(tg_op, 'INSERT', 'CREATE')));
    before jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    after jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    changed jsonb := coalesce(after, before);
    detail jsonb := audit_detail(before, after);
    concerned uuid;
    expiry timestamptz;
    name text;
begin
    if before = after then
        return null;
    end if;
    if thing = 'token' then
        select token.client, token.expires_at into concerned, expiry from access_token as token
            where token.id = (changed ->> 'id')::uuid;
    else
        concerned := case thing
            when 'client' then changed ->> 'id'
            when 'secret' then changed ->> 'client'
        end;
    end if;
    name := coalesce(
        changed ->> 'client_id', (select client.client_id from client where client.id = concerned));
    -- The secrets of a client that is deleted go with it.
    if thing = 'secret' and tg_op = 'DELETE' and name is null then
        return null;
    end if;
    if verb = 'revoke' and tg_op = 'INSERT'
        and current_setting('jeton.actor', true) = 'client:' || name
    then
        if new.keep_until = expiry
            and new.revoked_at between now() - interval '1 minute' and now() + interval '1 minute'
        then
            concerned := null;
            detail := '{}';
        end if;
    end if;
    perform record_audit(
        thing || '.' || verb, concerned, name,
        case when thing in ('secret', 'token') then (changed ->> 'id')::uuid end, detail);
    return null;
end $$;
select guard_functions('^(record_audit|audit_row)$');

comment on column audit.actor is
    'Who, as Jeton says: client for the client of the row, operator:name for a command, jeton for a node; client:orders where a revocation is not routine. Null for a row that was edited beside Jeton.';
comment on column audit.client is
    'client.id of the client that it concerns: it tells two clients apart that had the same client_id one after the other. Null for a client that revoked its own token, whose client_id and place in the trail say which it is.';
comment on column audit.detail is
    'The columns of what was made or deleted; for an update, each that changed with its value before and after. No hashes and no keys. Empty for a client that revoked its own token: that happened at this time, and lasts until the token expires.';
