// Run with NODE_EXTRA_CA_CERTS=/etc/jeton/ca.pem
import * as client from 'openid-client';

const config = await client.discovery(new URL('https://tokens.example.com:8080'), 'orders', {},
  client.ClientSecretPost('jts_ORDERS'), { algorithm: 'oauth2' });

const { access_token } = await client.clientCredentialsGrant(config, { scope: 'orders.read' });
console.log(JSON.stringify(await client.tokenIntrospection(config, access_token)));
await client.tokenRevocation(config, access_token);
console.log(JSON.stringify(await client.tokenIntrospection(config, access_token)));
