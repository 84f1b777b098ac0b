// A real OpenID provider for the tests: node real_oidc_provider.mjs <folder of node_modules> <redirect>
// It prints its address when it listens. Whatever name somebody signs in with is who they are.
// POST /test/rotate takes other keys.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [folder, redirect] = process.argv.slice(2);
const library = await import(pathToFileURL(`${folder}/oidc-provider/lib/index.js`));
let issuer, answer;

function freshKey(type, options, alg) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg };
}

function provider() {
  const client = {
    client_id: "mission-control",
    client_secret: "a secret: +/% and more",
    redirect_uris: [redirect],
  };
  const made = new library.Provider(issuer, {
    clients: [client],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    cookies: { keys: ["only for the tests"] },
    features: {
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, audience) => ({
          scope: "",
          audience,
          accessTokenFormat: "jwt",
          accessTokenTTL: 60,
        }),
      },
    },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        name: `${id} of the real provider`,
        email: `${id}@example.com`,
        email_verified: !id.startsWith("unsure"),
      }),
    }),
    jwks: { keys: [freshKey("rsa", { modulusLength: 2048 }, "RS256")] },
    pkce: { required: () => true },
    ttl: { AccessToken: 60, IdToken: 60, Session: 600, Grant: 600, Interaction: 600 },
  });
  return made.callback();
}

const server = createServer((request, response) => {
  if (request.method === "POST" && request.url === "/test/rotate") {
    answer = provider();
    response.end();
  } else {
    answer(request, response);
  }
});
server.listen(0, "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  answer = provider();
  console.log(issuer);
});
