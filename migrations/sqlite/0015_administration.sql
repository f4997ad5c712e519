-- Administration by clients. Their tokens are for one reserved audience and have scopes of one
-- reserved beginning. Rows from before are left as they are: a client that happens to use these names
-- is no administrator, because its other audiences exclude that. They are checked when one of these
-- columns is written, so such a client can still be disabled.

create trigger client_creation_keeps_administration_apart before insert on client
    when ' ' || new.scopes glob '* jeton:*'
      or ' ' || new.audiences || ' ' || new.serves || ' ' glob '* urn:jeton:administration *'
begin
    select raise(abort, 'no client serves urn:jeton:administration: take it out of serves')
    where ' ' || new.serves || ' ' glob '* urn:jeton:administration *';
    select raise(abort, 'scopes that begin with jeton: are reserved: jeton:read, jeton:write, jeton:security')
    where replace(replace(replace(
              ' ' || replace(new.scopes, ' ', '  ') || ' ',
              ' jeton:read ', ''), ' jeton:write ', ''), ' jeton:security ', '') glob '* jeton:*';
    select raise(abort, 'a client for administration has no other audience: set audiences to urn:jeton:administration')
    where new.audiences <> 'urn:jeton:administration';
    select raise(abort, 'a token for administration lives for at most 900 seconds: set token_lifetime_seconds')
    where new.token_lifetime_seconds > 900;
end;
create trigger client_update_keeps_administration_apart
    before update of scopes, audiences, serves, token_lifetime_seconds on client
    when ' ' || new.scopes glob '* jeton:*'
      or ' ' || new.audiences || ' ' || new.serves || ' ' glob '* urn:jeton:administration *'
begin
    select raise(abort, 'no client serves urn:jeton:administration: take it out of serves')
    where ' ' || new.serves || ' ' glob '* urn:jeton:administration *';
    select raise(abort, 'scopes that begin with jeton: are reserved: jeton:read, jeton:write, jeton:security')
    where replace(replace(replace(
              ' ' || replace(new.scopes, ' ', '  ') || ' ',
              ' jeton:read ', ''), ' jeton:write ', ''), ' jeton:security ', '') glob '* jeton:*';
    select raise(abort, 'a client for administration has no other audience: set audiences to urn:jeton:administration')
    where new.audiences <> 'urn:jeton:administration';
    select raise(abort, 'a token for administration lives for at most 900 seconds: set token_lifetime_seconds')
    where new.token_lifetime_seconds > 900;
end;
