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

-- Says how far a node has written, as before. What is new: flushed_at follows a clock that was set
-- back. It stayed in the future before, and stood for uses that were still to be written.
create or replace function mark_evidence(
    recorder_id uuid, flushed timestamptz, due_ms integer, lost_since timestamptz)
    returns void language plpgsql security definer as $$
declare
    now timestamptz := clock_timestamp();
    -- A clock that is ahead does not vouch for a time that is still to come.
    known timestamptz := least(flushed, now);
begin
    insert into evidence (recorder, since, flushed_at, due_at)
        values (recorder_of(recorder_id), known, known,
                now + make_interval(secs => due_ms / 1000.0))
        on conflict on constraint evidence_pk do update
        set flushed_at = excluded.flushed_at, due_at = excluded.due_at;
    insert into evidence_gap (since, until)
        select least(lost_since, now), now where lost_since is not null
        on conflict on constraint evidence_gap_pk do nothing;
    with gone as (
        delete from evidence where recorder in (
            select recorder from evidence
            where due_at < now
              and not exists (select from node where node.recorder = evidence.recorder)
            for update skip locked)
        returning flushed_at)
    insert into evidence_gap (since, until) select flushed_at, now from gone
        on conflict on constraint evidence_gap_pk do nothing;
end $$;
select guard_functions('^(mark_evidence|refuse_token_for_administration)$');
