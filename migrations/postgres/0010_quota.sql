-- Limits on issuing tokens to a client.

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
