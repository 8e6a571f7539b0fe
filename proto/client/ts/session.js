// Keeps a program signed in to Muster: a session sends the access token with
// each call that needs one and exchanges it in time. The same as proto/client
// for Go; it runs in browsers and in Node. See session.d.ts.

import { getOption } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import { access } from "@muster-id/api/muster/options/v1/options_pb.js";
import { AuthService, RefreshDelivery } from "@muster-id/api/muster/v1/auth_pb.js";
import { ErrorDetailSchema } from "@muster-id/api/muster/v1/errors_pb.js";

// How long before its expiry a token is exchanged at most; one with a short
// life is exchanged in the last fifth of it.
const early = 30_000;
// One exchange takes this long at most.
const refreshTimeout = 10_000;
// How long the server is left alone after an exchange that it did not answer,
// while the old access token is still good.
const refreshPause = 1_000;

// After these, a refresh token is good for nothing any more.
const final = new Set(["SESSION_REVOKED", "REFRESH_TOKEN_REUSED", "TOKEN_EXPIRED", "TOKEN_INVALID", "ACCOUNT_INACTIVE"]);

export class Session {
	#auth;
	#cookie;
	#changed;
	#now;
	#tokens;
	#due = 0;
	#ended;
	#refreshing;
	// Counts sign-ins and sign-outs, so that an exchange which was under way
	// meanwhile changes nothing.
	#turn = 0;

	constructor(transport, { delivery = "body", changed = () => {}, now = Date.now } = {}) {
		if (delivery !== "body" && delivery !== "cookie") throw new TypeError(`delivery is "body" or "cookie", not ${delivery}`);
		this.#cookie = delivery === "cookie";
		this.#changed = changed;
		this.#now = now;
		this.#auth = createClient(AuthService, transport({ interceptors: [] }));
		this.transport = transport({ interceptors: [(next) => (request) => this.#send(next, request)] });
	}

	get tokens() {
		return this.#tokens && { ...this.#tokens };
	}

	async login(request) {
		const response = await this.#auth.login({
			...request,
			refreshDelivery: this.#cookie ? RefreshDelivery.COOKIE : RefreshDelivery.BODY,
		});
		this.#turn++;
		this.#refreshing = undefined;
		this.#adopt(response, this.#cookie && !response.passwordChangeRequired);
		return response;
	}

	async resume(tokens) {
		this.#turn++;
		this.#refreshing = undefined;
		if (!this.#cookie) {
			this.#set(tokens && { ...tokens });
			return tokens !== undefined;
		}
		this.#set({ accessToken: "", accessTokenExpiresAt: 0, refreshToken: "", cookie: true });
		try {
			await this.#exchange("");
			return true;
		} catch (error) {
			this.#set(undefined);
			if (final.has(reasonOf(error))) return false;
			throw error;
		}
	}

	async logout() {
		const tokens = this.#tokens;
		this.#turn++;
		this.#refreshing = undefined;
		this.#forget(undefined);
		if (!tokens?.refreshToken && !this.#cookie) return;
		try {
			await this.#auth.logout({ refreshToken: tokens?.refreshToken ?? "" });
		} catch (error) {
			if (reasonOf(error) !== "TOKEN_INVALID") throw error; // a browser without a cookie is signed out
		}
	}

	// Sends the access token, and repeats the call once with a new one when the
	// server finds it expired: the server has done nothing then.
	async #send(next, request) {
		if (getOption(request.method, access).public || request.header.has("Authorization")) return next(request);
		const token = await this.#access(undefined);
		authorize(request, token);
		try {
			return await next(request);
		} catch (error) {
			if (request.stream || reasonOf(error) !== "TOKEN_EXPIRED") throw error;
			const renewed = await this.#access(token);
			if (renewed === token) throw error; // there is nothing to exchange
			authorize(request, renewed);
			return next(request);
		}
	}

	// Gives an access token to call with, exchanged if it is due or is the one
	// that the server has just found expired.
	async #access(expired) {
		if (this.#ended) throw this.#ended;
		const tokens = this.#tokens;
		if (!tokens || (!tokens.refreshToken && !tokens.cookie)) return tokens?.accessToken;
		if (tokens.accessToken !== expired && this.#now() < this.#due) return tokens.accessToken;
		try {
			await this.#exchange(tokens.refreshToken);
		} catch (error) {
			if (this.#ended || tokens.accessToken === expired || this.#now() >= tokens.accessTokenExpiresAt) throw error;
		}
		return this.#tokens?.accessToken;
	}

	// One exchange at a time: all who need it wait for the same one.
	#exchange(refreshToken) {
		if (!this.#refreshing) {
			const exchange = this.#refresh(refreshToken).finally(() => {
				if (this.#refreshing === exchange) this.#refreshing = undefined;
			});
			this.#refreshing = exchange;
		}
		return this.#refreshing;
	}

	async #refresh(refreshToken) {
		const turn = this.#turn;
		try {
			const response = await this.#auth.refreshToken({ refreshToken }, { timeoutMs: refreshTimeout });
			if (turn === this.#turn) this.#adopt(response, this.#cookie);
		} catch (error) {
			if (turn === this.#turn) {
				if (final.has(reasonOf(error))) this.#forget(error);
				else this.#due = this.#now() + refreshPause;
			}
			throw error;
		}
	}

	#adopt({ accessToken, accessTokenExpiresAt, refreshToken }, cookie) {
		// By our clock, not by the server's, however wrong ours is.
		const life = lifetime(accessToken);
		const expires = life ? this.#now() + life : accessTokenExpiresAt ? timestampMs(accessTokenExpiresAt) : 0;
		this.#set({ accessToken, accessTokenExpiresAt: expires, refreshToken, cookie });
		this.#changed(this.tokens);
	}

	#forget(said) {
		this.#set(undefined);
		this.#ended = said;
		this.#changed(undefined);
	}

	#set(tokens) {
		this.#tokens = tokens;
		this.#ended = undefined;
		const expires = tokens?.accessTokenExpiresAt ?? 0;
		this.#due = expires - Math.min(early, (expires - this.#now()) / 5);
	}
}

export function detailOf(error) {
	return ConnectError.from(error).findDetails(ErrorDetailSchema)[0];
}

export function reasonOf(error) {
	return detailOf(error)?.reason ?? "";
}

function authorize(request, token) {
	if (token) request.header.set("Authorization", `Bearer ${token}`);
}

// Reads from an access token (a JWT, RFC 7519) how long it lives from its issue,
// in milliseconds; 0 if it does not say. Nothing here trusts it.
function lifetime(token) {
	try {
		const { iat, exp } = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
		return exp > iat && iat > 0 ? (exp - iat) * 1000 : 0;
	} catch {
		return 0;
	}
}
