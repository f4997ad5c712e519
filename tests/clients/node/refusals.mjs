// Not an example: what these libraries report of a wrong secret and of a revocation.
import assert from 'node:assert';
import * as client from 'openid-client';
import { ClientCredentials } from 'simple-oauth2';

const config = await client.discovery(new URL('https://tokens.example.com:8080'), 'orders', {},
  client.ClientSecretPost('wrong'), { algorithm: 'oauth2' });
const refused = await client.clientCredentialsGrant(config).catch((error) => error);
assert.strictEqual(refused.error, 'invalid_client', String(refused));

const simple = new ClientCredentials({
  client: { id: 'orders', secret: 'jts_ORDERS' },
  auth: { tokenHost: 'https://tokens.example.com:8080', tokenPath: '/oauth2/token', revokePath: '/oauth2/revoke' },
});
const token = simple.createToken((await simple.getToken({})).token);
await token.revoke('access_token');
console.log('refused and revoked');
