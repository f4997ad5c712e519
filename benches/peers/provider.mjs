// node-oidc-provider with one client and its tokens in Postgres. Its client has its secret in clear,
// as this product keeps it. Environment: PORT, CLIENT_SECRET, PGHOST, PGUSER, PGDATABASE.

import Provider from "oidc-provider";
import pg from "pg";

const pool = new pg.Pool({ max: 16 });
await pool.query(`
  create table payload (
    kind text not null, id text not null, body jsonb not null, grant_id text, uid text,
    user_code text, expires_at timestamptz, consumed_at timestamptz, primary key (kind, id))`);
await pool.query("create index on payload (grant_id) where grant_id is not null");

// Prepared on first use of each connection, by their names.
const statements = {
  upsert: `insert into payload (kind, id, body, grant_id, uid, user_code, expires_at)
           values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
           on conflict (kind, id) do update
           set body = excluded.body, expires_at = excluded.expires_at`,
  find: `select body, consumed_at from payload
         where kind = $1 and id = $2 and (expires_at is null or expires_at > now())`,
  findByUid: "select body, consumed_at from payload where kind = $1 and uid = $2",
  findByUserCode: "select body, consumed_at from payload where kind = $1 and user_code = $2",
  consume: "update payload set consumed_at = now() where kind = $1 and id = $2",
  destroy: "delete from payload where kind = $1 and id = $2",
  revokeByGrantId: "delete from payload where grant_id = $1",
};

const ask = (name, ...values) => pool.query({ name, text: statements[name], values });

// The interface is that of example/my_adapter.js of the product.
class Adapter {
  constructor(kind) {
    this.kind = kind;
  }

  async upsert(id, body, seconds) {
    const { grantId, uid, userCode } = body;
    await ask("upsert", this.kind, id, body, grantId, uid, userCode, seconds);
  }

  async one(name, key) {
    const [row] = (await ask(name, this.kind, key)).rows;
    return row && { ...row.body, ...(row.consumed_at && { consumed: true }) };
  }

  find = (id) => this.one("find", id);
  findByUid = (uid) => this.one("findByUid", uid);
  findByUserCode = (code) => this.one("findByUserCode", code);
  consume = (id) => ask("consume", this.kind, id);
  destroy = (id) => ask("destroy", this.kind, id);
  revokeByGrantId = (grant) => ask("revokeByGrantId", grant);
}

const provider = new Provider(`http://127.0.0.1:${process.env.PORT}`, {
  adapter: Adapter,
  clients: [
    {
      client_id: "peer",
      client_secret: process.env.CLIENT_SECRET,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  scopes: ["read"],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    devInteractions: { enabled: false },
  },
  ttl: { ClientCredentials: 3600 },
});
provider.on("server_error", (_, error) => console.error(error));
provider.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("listening"));
