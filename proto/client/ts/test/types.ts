// Is compiled only: what a TypeScript program writes has the types it expects.
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { MediaService, Visibility } from "@muster-id/api/muster/v1/media_pb.js";
import { UserService, type User } from "@muster-id/api/muster/v1/user_pb.js";
import { Session, detailOf, reasonOf, type Tokens } from "@muster-id/client";

export async function walk(baseUrl: string): Promise<User | undefined> {
	let kept: Tokens | undefined;
	const session = new Session((options) => createConnectTransport({ baseUrl, ...options }), {
		delivery: "cookie",
		changed: (tokens) => (kept = tokens),
	});
	if (!(await session.resume(kept))) await session.login({ login: "ada", password: "correct horse" });
	try {
		await createClient(MediaService, session.transport).createUpload({ name: "a", size: 1n, visibility: Visibility.PUBLIC });
		return (await createClient(UserService, session.transport).getMe({})).user;
	} catch (error) {
		const next: string | undefined = detailOf(error)?.next;
		throw new Error(`${reasonOf(error)}: ${next}`);
	}
}
