-- One audience by default. A token for several could be replayed by each of their resource servers
-- at the others. So a token that is requested without an audience is for one, and a token for
-- several is issued only to a client that is registered for that.
--
-- Clients that exist keep their audiences and get no default: which of several it should be, only an
-- operator knows. Nodes of earlier versions read neither column, and go on as before.

alter table client
    add column default_audience text,
    add column several_audiences boolean not null default false,
    add constraint client_default_audience_is_registered
        -- Null is none of an empty list, and not unknown.
        check (default_audience is null or default_audience = any (audiences));
comment on column client.audiences is
    'The audiences that its tokens may be for. Taking one away takes it from its tokens too.';
comment on column client.default_audience is
    'The audience of a token for which none is requested; one of audiences. Null for the only one; with several, each request must name one.';
comment on column client.several_audiences is
    'Whether one token may be for several of its audiences, if the request names them.';
comment on column client.scopes is
    'The scopes that its tokens may carry. Taking one away takes it from its tokens too.';
comment on column client.serves is
    'The audiences that it is the resource server of. It may introspect their tokens, and sees no other audience of them.';
