import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { AuthService, RefreshDelivery } from "@muster-id/api/muster/v1/auth_pb.js";
import { ErrorDetailSchema } from "@muster-id/api/muster/v1/errors_pb.js";
import { UserService } from "@muster-id/api/muster/v1/user_pb.js";
import { Session, reasonOf } from "../session.js";

const minute = 60_000;

const refusal = (code, reason) =>
	new ConnectError("refused", code, undefined, [{ desc: ErrorDetailSchema, value: create(ErrorDetailSchema, { reason }) }]);

// A gateway of which each test says what it does. Its tokens live 15 minutes.
function gateway() {
	const g = {
		clock: 0, // the server's, in milliseconds
		issued: 0,
		refreshed: [],
		logins: [],
		calls: 0,
		refuse: undefined, // what RefreshToken throws
		hold: undefined, // what RefreshToken waits for
		deny: false, // whether every token is found expired
	};
	const base = Date.UTC(2026, 0, 1);
	const pair = (cookie) => {
		const n = ++g.issued;
		const iat = (base + g.clock) / 1000;
		const claims = Buffer.from(JSON.stringify({ iat, exp: iat + 900, n, key: "~~~???" })).toString("base64url");
		g.current = { token: `h.${claims}.s`, expires: g.clock + 15 * minute };
		return {
			accessToken: g.current.token,
			accessTokenExpiresAt: { seconds: BigInt(iat + 900), nanos: 0 },
			refreshToken: cookie ? "" : `refresh-${n}`,
		};
	};
	g.transport = ({ interceptors }) =>
		createRouterTransport(
			({ service }) => {
				service(AuthService, {
					login(request) {
						g.logins.push(request.refreshDelivery);
						return pair(request.refreshDelivery === RefreshDelivery.COOKIE);
					},
					async refreshToken(request) {
						g.refreshed.push(request.refreshToken);
						await g.hold;
						if (g.refuse) throw g.refuse;
						return pair(request.refreshToken === "");
					},
					logout: () => ({}),
				});
				service(UserService, {
					getMe(_, { requestHeader }) {
						g.calls++;
						if (!requestHeader.has("Authorization")) throw refusal(Code.Unauthenticated, "UNAUTHENTICATED");
						if (requestHeader.get("Authorization") !== `Bearer ${g.current.token}` || g.clock >= g.current.expires || g.deny) {
							throw refusal(Code.Unauthenticated, "TOKEN_EXPIRED");
						}
						return { user: { username: "ada" } };
					},
				});
			},
			{ transport: { interceptors } },
		);
	return g;
}

async function signedIn(options) {
	const g = gateway();
	const c = { now: 0 };
	const session = new Session(g.transport, { now: () => c.now, ...options });
	await session.login({ login: "ada", password: "correct horse" });
	return { g, c, session, users: createClient(UserService, session.transport) };
}

test("a token is sent, and exchanged shortly before it expires", async () => {
	const { g, c, users } = await signedIn();
	await users.getMe({});
	c.now = g.clock = 14 * minute;
	await users.getMe({});
	assert.deepEqual(g.refreshed, []);
	c.now = g.clock = 15 * minute - 20_000;
	await users.getMe({});
	assert.deepEqual(g.refreshed, ["refresh-1"]);
	assert.equal(g.calls, 3);
});

test("a clock that is wrong by hours changes nothing", async () => {
	for (const wrong of [-5 * 60 * minute, 5 * 60 * minute]) {
		const g = gateway();
		const session = new Session(g.transport, { now: () => g.clock + wrong });
		await session.login({ login: "ada", password: "x" });
		const users = createClient(UserService, session.transport);
		for (g.clock = 0; g.clock < 60 * minute; g.clock += minute) await users.getMe({});
		assert.equal(g.refreshed.length, 3, "refreshes in an hour");
	}
});

test("what the server finds expired is exchanged once and the call repeated", async () => {
	const { g, users } = await signedIn();
	g.clock = 15 * minute; // ours stands still
	await users.getMe({});
	assert.deepEqual([g.calls, g.refreshed.length], [2, 1]);
	g.deny = true;
	await assert.rejects(users.getMe({}), (error) => reasonOf(error) === "TOKEN_EXPIRED");
	assert.deepEqual([g.calls, g.refreshed.length], [4, 2]);
});

test("of many calls at once, one exchanges the token", async () => {
	const { g, c, users } = await signedIn();
	c.now = g.clock = 20 * minute;
	let open;
	g.hold = new Promise((resolve) => (open = resolve));
	const calls = Array.from({ length: 50 }, () => users.getMe({}));
	open();
	await Promise.all(calls);
	assert.equal(g.refreshed.length, 1);
});

test("when the session has ended, all calls say why and nobody is asked again", async () => {
	const told = [];
	const { g, c, session, users } = await signedIn({ changed: (tokens) => told.push(tokens?.refreshToken) });
	c.now = g.clock = 20 * minute;
	g.refuse = refusal(Code.Unauthenticated, "SESSION_REVOKED");
	for (let i = 0; i < 3; i++) await assert.rejects(users.getMe({}), (error) => reasonOf(error) === "SESSION_REVOKED");
	assert.equal(g.refreshed.length, 1);
	assert.equal(session.tokens, undefined);
	assert.deepEqual(told, ["refresh-1", undefined]);
	g.refuse = undefined;
	await session.login({ login: "ada", password: "correct horse" });
	await users.getMe({});
});

test("while the server does not answer, a token that is still good goes on", async () => {
	const { g, c, users } = await signedIn();
	g.refuse = refusal(Code.Unavailable, "UNAVAILABLE");
	c.now = g.clock = 15 * minute - 20_000;
	await users.getMe({});
	await users.getMe({});
	assert.equal(g.refreshed.length, 1, "it is left alone for a second");
	c.now = g.clock = 15 * minute;
	await assert.rejects(users.getMe({}), (error) => reasonOf(error) === "UNAVAILABLE");
	g.refuse = undefined;
	c.now += 1_000;
	await users.getMe({});
});

test("a browser's refresh token is in the cookie, and a page that is loaded anew goes on with it", async () => {
	const { g, c, session, users } = await signedIn({ delivery: "cookie" });
	assert.deepEqual(g.logins, [RefreshDelivery.COOKIE]);
	assert.equal(session.tokens.refreshToken, "");
	c.now = g.clock = 20 * minute;
	await users.getMe({});
	const anew = new Session(g.transport, { delivery: "cookie", now: () => c.now });
	assert.equal(await anew.resume(), true);
	await createClient(UserService, anew.transport).getMe({});
	assert.deepEqual(g.refreshed, ["", ""]);
	g.refuse = refusal(Code.Unauthenticated, "TOKEN_INVALID");
	const nobody = new Session(g.transport, { delivery: "cookie", now: () => c.now });
	assert.equal(await nobody.resume(), false);
	await assert.rejects(createClient(UserService, nobody.transport).getMe({}), (error) => reasonOf(error) === "UNAUTHENTICATED");
});

test("a program goes on with the tokens that it has kept", async () => {
	let kept;
	const { g, c } = await signedIn({ changed: (tokens) => (kept = tokens) });
	const later = new Session(g.transport, { now: () => c.now });
	assert.equal(await later.resume(kept), true);
	c.now = g.clock = 20 * minute;
	await createClient(UserService, later.transport).getMe({});
	assert.deepEqual(g.refreshed, ["refresh-1"]);
});

test("signing out wins over an exchange that is under way", async () => {
	const { g, c, session, users } = await signedIn();
	c.now = g.clock = 20 * minute;
	let open;
	g.hold = new Promise((resolve) => (open = resolve));
	const call = users.getMe({});
	await session.logout();
	open();
	await assert.rejects(call, (error) => reasonOf(error) === "UNAUTHENTICATED");
	assert.equal(session.tokens, undefined);
});

test("public methods carry no token", async () => {
	const { g, c, session } = await signedIn();
	c.now = g.clock = 20 * minute;
	await createClient(AuthService, session.transport).logout({ refreshToken: "other" });
	assert.equal(g.refreshed.length, 0);
});
