-- Generations, by which all tokens of a client, or all tokens, are revoked without asking a clock.

-- Counts how often all tokens of the client were revoked. Add 1 to revoke all that it has now.
alter table client add column generation integer not null default 0;
-- Counts how often all tokens were revoked. Add 1 to revoke every token that there is now.
alter table installation add column generation integer not null default 0;
-- The generations of its client and of the installation at its issue, added up. A token of an
-- earlier generation is inactive. Null for a token that an earlier version of Jeton issued.
alter table access_token add column generation integer;

-- Generations never go down: the tokens that a larger one has ended would live again.
create trigger client_generation_never_goes_down before update on client
    when new.generation < old.generation begin
    select raise(abort, 'a generation never becomes smaller: the tokens that it has ended would live again');
end;
create trigger installation_generation_never_goes_down before update on installation
    when new.generation < old.generation begin
    select raise(abort, 'a generation never becomes smaller: the tokens that it has ended would live again');
end;
