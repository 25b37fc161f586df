// A certified OpenID provider for tests. Usage: node idp.mjs < settings.json
// Settings: {port, alg, clients, accounts: {login: claims}, accessSeconds}. It
// prints "ready" once it listens, and one line of JSON for each grant revoked or
// session ended, so that tests can wait for what happened.
import { createServer } from 'node:http';
import dns from 'node:dns';
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';
import { generateKeyPair, exportJWK } from 'jose';

// Names below localhost are this machine, as browsers have it.
const lookup = dns.lookup;
dns.lookup = (host, ...rest) => lookup(host.endsWith('.localhost') ? '127.0.0.1' : host, ...rest);

const s = JSON.parse(readFileSync(0, 'utf8'));
const issuer = `http://127.0.0.1:${s.port}`;
const { privateKey } = await generateKeyPair(s.alg, { extractable: true });
const key = { ...(await exportJWK(privateKey)), use: 'sig', alg: s.alg, kid: `first-${s.alg}` };
const claimNames = [...new Set(Object.values(s.accounts).flatMap(Object.keys))];

const provider = new Provider(issuer, {
  clients: s.clients.map((c) => ({ id_token_signed_response_alg: s.alg, ...c })),
  jwks: { keys: [key] },
  cookies: { keys: ['only for tests'] },
  claims: { openid: ['sub'], profile: claimNames },
  scopes: ['openid', 'offline_access', 'profile'],
  conformIdTokenClaims: s.conform ?? true,
  pkce: { required: () => true },
  ttl: { AccessToken: s.accessSeconds ?? 3600, IdToken: 3600, Session: 3600, Grant: 3600, Interaction: 600, RefreshToken: 3600 },
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256'] },
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    backchannelLogout: { enabled: true },
    clientCredentials: { enabled: true },
    // Who asks for a resource gets a JWT for its origin, which lives as long as
    // the resource's query says: https://api.kappa4.com/?ttl=2
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'api', audience: new URL(resource).origin, accessTokenFormat: 'jwt', jwt: { sign: { alg: s.alg } },
        accessTokenTTL: Number(new URL(resource).searchParams.get('ttl') ?? 3600),
      }),
    },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => { ctx.body = `<!doctype html><title>Sign out</title>${form}<button name="logout" form="op.logoutForm" value="yes">yes</button>`; },
      postLogoutSuccessSource: (ctx) => { ctx.body = '<!doctype html><title>Signed out</title>'; },
    },
  },
  // The tests' relying party is on this machine, which by default is refused.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  extraTokenClaims: (ctx, token) => s.accounts[token.accountId ?? token.clientId],
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: async (ctx, id) => s.accounts[id] && { accountId: id, claims: async () => ({ sub: id, ...s.accounts[id] }) },
  // Who is asked for consent is of no interest here: what was asked is granted.
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid offline_access profile');
    await grant.save();
    return grant;
  },
});

const tell = (event, detail = {}) => console.log(JSON.stringify({ event, ...detail }));
provider.on('refresh_token.destroyed', () => tell('refresh_token.destroyed'));
provider.on('grant.revoked', () => tell('grant.revoked'));
provider.on('end_session.success', () => tell('end_session'));
provider.on('backchannel.success', () => tell('backchannel.success'));
provider.on('backchannel.error', (ctx, err) => tell('backchannel.error', { error: String(err.message) }));
provider.on('authorization.error', (ctx, err) => tell('authorization.error', { error: `${err.message} ${err.error_detail ?? ''}` }));
provider.on('server_error', (ctx, err) => tell('server_error', { error: String(err.stack) }));

// Signing in is one form with one field: whose account it is.
const body = async (req) => { let b = ''; for await (const c of req) b += c; return new URLSearchParams(b); };
const callback = provider.callback();
createServer(async (req, res) => {
  const uid = /^\/interaction\/([\w-]+)$/.exec(req.url)?.[1];
  if (!uid) return callback(req, res);
  try {
    if (req.method !== 'POST') {
      res.setHeader('Content-Type', 'text/html');
      return res.end('<!doctype html><title>IdP</title><form method="post"><input name="login" autofocus><button>Sign in</button><button name="cancel" value="1">Cancel</button></form>');
    }
    const form = await body(req);
    const result = form.get('cancel')
      ? { error: 'access_denied', error_description: '<script>alert(1)</script>' }
      : { login: { accountId: form.get('login') } };
    await provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
  } catch (err) {
    tell('server_error', { error: String(err.stack) });
    res.statusCode = 500;
    res.end(String(err.message));
  }
}).listen(s.port, '127.0.0.1', () => console.log('ready'));
