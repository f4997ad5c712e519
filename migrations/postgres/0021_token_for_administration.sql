-- Tokens for administration are recorded only by roles that may create clients. Every node can read
-- the key of the tags and record tokens, so a node that was broken into could make a token for an
-- administrator and use it at another node, whose role may change clients. Such a token could also
-- have lived for a day instead of 15 minutes.
--
-- A node of an earlier version whose role may not create clients, and which is asked for such a token,
-- gets this error for its statement. It then records the tokens of the batch in halves, so that only
-- the caller of that token gets an error.

create function refuse_token_for_administration() returns trigger
    language plpgsql as $$
begin
    if new.expires_at > new.issued_at + interval '900 seconds' then
        raise exception 'a token for administration lives for at most 900 seconds'
            using errcode = 'check_violation', hint = 'set expires_at to an earlier moment';
    end if;
    raise exception 'this role may not record tokens for administration'
        using errcode = 'insufficient_privilege',
              hint = 'ask for it at a node whose role may create clients, as jeton_operator may';
end $$;
comment on function refuse_token_for_administration is
    'Refuses a token for administration that lives too long, or whose role may not create clients. Its trigger has the condition.';

-- The condition is part of the trigger, because it is evaluated as the role of the session, and because
-- all other tokens then cost one comparison. A token that has other audiences as well would be one for
-- administration once they are taken from its client.
create trigger access_token_is_not_for_administration before insert on access_token
    for each row
    when ('urn:jeton:administration' = any (new.audiences)
          and (not has_table_privilege('client'::regclass, 'insert')
               or new.expires_at > new.issued_at + interval '900 seconds'))
    execute function refuse_token_for_administration();
alter table access_token enable always trigger access_token_is_not_for_administration;

select guard_functions('^refuse_token_for_administration$');
