// A person's walk over Connect JSON, against the Muster whose address is given:
// register, sign in, stay signed in while access tokens expire, set an avatar,
// be signed out. Once as a program does it, once as a browser does.
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { AuthService } from "@muster-id/api/muster/v1/auth_pb.js";
import { MediaService } from "@muster-id/api/muster/v1/media_pb.js";
import { UserService } from "@muster-id/api/muster/v1/user_pb.js";
import { Session, detailOf, reasonOf } from "@muster-id/client";

const baseUrl = process.argv[2];
const patience = 60_000;
const picture = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABAQMAAAAl21bKAAAAA1BMVEUPdm5/SejIAAAADklEQVR42mJgAAQAAP//AAIAAVbTZ+kAAAAASUVORK5CYII=", "base64");

const program = (options) => createConnectTransport({ baseUrl, ...options });

// A browser keeps cookies and says where its page comes from.
const cookies = new Map();
const browser = (options) =>
	createConnectTransport({
		baseUrl,
		...options,
		fetch: async (input, init) => {
			const headers = new Headers(init.headers);
			headers.set("Origin", baseUrl);
			if (cookies.size > 0) headers.set("Cookie", [...cookies].map((pair) => pair.join("=")).join("; "));
			const response = await fetch(input, { ...init, headers });
			for (const cookie of response.headers.getSetCookie()) {
				const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
				assert.match(cookie, /HttpOnly/);
				if (value === "") cookies.delete(name);
				else cookies.set(name, value);
			}
			return response;
		},
	});

async function eventually(what, holds) {
	for (const end = Date.now() + patience; Date.now() < end; await pause(100)) if (await holds()) return;
	assert.fail(`not within ${patience} ms: ${what}`);
}

async function walk(name, transport, options) {
	const password = `correct horse ${name}`;
	const account = { username: name, email: `${name}@example.org`, password };
	const auth = createClient(AuthService, transport({ interceptors: [] }));
	const { userId, signInReady } = await auth.register(account);
	assert.equal(signInReady, true);
	await assert.rejects(auth.register(account), (error) => reasonOf(error) === "USERNAME_TAKEN" && detailOf(error).field === "username");

	let told = 0;
	const session = new Session(transport, { ...options, changed: () => told++ });
	const users = createClient(UserService, session.transport);
	await assert.rejects(users.getMe({}), (error) => reasonOf(error) === "UNAUTHENTICATED");
	await session.login({ login: name, password });
	assert.equal(session.tokens.refreshToken === "", options.delivery === "cookie");
	const first = session.tokens.accessToken;
	assert.equal((await users.getMe({})).user.id, userId);

	const { avatarUrl } = await createClient(MediaService, session.transport).uploadAvatar({ picture });
	await eventually("GetMe shows the avatar", async () => (await users.getMe({})).user.avatarUrl === avatarUrl);
	const avatar = await fetch(avatarUrl);
	assert.equal(avatar.headers.get("Content-Type"), "image/jpeg");
	assert.ok((await avatar.arrayBuffer()).byteLength > 0);

	// Another one finds its token expired only when the server says so.
	const late = new Session(transport, { now: () => 0 });
	await late.login({ login: name, password });
	const before = late.tokens.accessToken;
	const lateUsers = createClient(UserService, late.transport);
	await eventually("the tokens are exchanged", async () => {
		await Promise.all([users.getMe({}), users.getMe({}), lateUsers.getMe({})]);
		return session.tokens.accessToken !== first && late.tokens.accessToken !== before;
	});
	assert.ok(told >= 2);

	if (options.delivery === "cookie") {
		const anew = new Session(transport, options); // the page is loaded again
		assert.equal(await anew.resume(), true);
		assert.equal((await createClient(UserService, anew.transport).getMe({})).user.id, userId);
	}
	await createClient(AuthService, session.transport).changePassword({ presentPassword: password, newPassword: "battery staple" });
	await eventually("the session says that it has ended", () =>
		lateUsers.getMe({}).then(
			() => false,
			(error) => reasonOf(error) === "SESSION_REVOKED",
		),
	);
	await session.logout();
	assert.equal(session.tokens, undefined);
	if (options.delivery === "cookie") assert.equal(await new Session(transport, options).resume(), false);
}

await Promise.all([walk("ada-node", program, { delivery: "body" }), walk("ada-browser", browser, { delivery: "cookie" })]);
