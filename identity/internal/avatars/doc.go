// Package avatars is the projection of media's log that tells who has which
// picture. It is the one place where identity listens to another service.
//
//	AvatarSet     ─▶ the row, or another picture in it
//	AvatarRemoved ─▶ no row
//	Forget        ─▶ no row for who was erased, and none ever after
//
// Who was erased stands in identity's log, while the pictures come from media's,
// and between two logs there is no order: an AvatarSet may arrive after its
// person is gone. So rows are written only for those whom the log beside them
// does not say to be erased, and a lock keeps that look and Forget apart.
package avatars
