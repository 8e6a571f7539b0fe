import type { Interceptor, Transport } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LoginRequestSchema, LoginResponse } from "@muster-id/api/muster/v1/auth_pb.js";
import type { ErrorDetail } from "@muster-id/api/muster/v1/errors_pb.js";

/** What a session lives by. Keep it like a password. */
export interface Tokens {
	/** Goes into the header Authorization. */
	accessToken: string;
	/** In milliseconds since 1970, by this machine's clock, however wrong it is. */
	accessTokenExpiresAt: number;
	/** Good for one exchange; empty when it is in the cookie. */
	refreshToken: string;
}

export interface SessionOptions {
	/**
	 * Where the refresh token is kept. `"cookie"` is for browsers: scripts cannot
	 * read it there. `"body"`, the default, is for programs.
	 */
	delivery?: "body" | "cookie";
	/**
	 * Is told of each new pair, and of `undefined` when the session has ended, so
	 * that a program can keep them and resume after a restart.
	 */
	changed?: (tokens: Tokens | undefined) => void;
	/** The clock, in milliseconds since 1970; `Date.now` if not given. */
	now?: () => number;
}

/**
 * One sign-in. Clients that are made with its transport carry the access token;
 * it is exchanged shortly before it expires, or once when the server finds it
 * expired. Of many calls that need that at the same time, one exchanges it and
 * the others wait.
 *
 * When the server ends the session, the call that learns of it and all later
 * ones are rejected with its reason, `SESSION_REVOKED` for example, until the
 * next login.
 *
 * ```js
 * import { createConnectTransport } from "@connectrpc/connect-web";
 *
 * const session = new Session((options) => createConnectTransport({ baseUrl: "https://id.example.org", ...options }));
 * await session.login({ login: "ada", password: "correct horse" });
 * const { user } = await createClient(UserService, session.transport).getMe({});
 * ```
 */
export declare class Session {
	/**
	 * Takes what makes a transport. It is called twice: for the session's own
	 * calls, and with the session's interceptor for all others.
	 */
	constructor(transport: (options: { interceptors: Interceptor[] }) => Transport, options?: SessionOptions);
	/** For the clients that are to be signed in. */
	readonly transport: Transport;
	/** The present pair; `undefined` when nobody is signed in. */
	readonly tokens: Tokens | undefined;
	/** Signs in with a username or an email address. Rejects with a ConnectError. */
	login(request: MessageInitShape<typeof LoginRequestSchema>): Promise<LoginResponse>;
	/**
	 * Goes on with tokens that `changed` was told of; in a browser, with the
	 * cookie. Tells whether somebody is signed in. Rejects when the server does
	 * not answer.
	 */
	resume(tokens?: Tokens): Promise<boolean>;
	/** Ends the session. The tokens are forgotten even when the server does not answer. */
	logout(): Promise<void>;
}

/** Tells why a call failed, `USERNAME_TAKEN` for example; empty when the server did not say. */
export declare function reasonOf(error: unknown): string;

/** What the server said of an error: its reason, the field at fault, what to do next. */
export declare function detailOf(error: unknown): ErrorDetail | undefined;
