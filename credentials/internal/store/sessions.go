package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/muster-id/muster/credentials/internal/access"
	"github.com/muster-id/muster/credentials/internal/session"
)

var (
	//go:embed queries/open_session.sql
	openSession string
	//go:embed queries/session.sql
	sessionWithAccount string
	//go:embed queries/session_waits.sql
	sessionWaits string
	//go:embed queries/advance_session.sql
	advanceSession string
	//go:embed queries/revoke_session.sql
	revokeSession string
	//go:embed queries/revoke_sessions.sql
	revokeSessions string
	//go:embed queries/delete_sessions.sql
	deleteSessions string
)

// keptAfterExpiry is how long an expired session is still told from one that
// never was.
const keptAfterExpiry = 7 * 24 * time.Hour

// deleteBatch bounds the rows that one statement deletes.
const deleteBatch = 1000

// OpenSession stores a new session; ErrNotFound where the person was erased
// meanwhile, ErrIncomplete where the database is another one by now.
func (s *Store) OpenSession(ctx context.Context, opened session.Session) error {
	tag, err := s.pool.Exec(ctx, openSession, access.Name, opened.ID, opened.UserID, opened.PasswordVersion, opened.AccessVersion, opened.Counter,
		times(opened.UsedAt), opened.OpenedAt, opened.LastUsedAt, opened.ExpiresAt, deleteOn(opened))
	if err == nil && tag.RowsAffected() == 0 {
		err = s.whyNot(ctx)
	}
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	return nil
}

// whyNot tells why no session was opened.
func (s *Store) whyNot(ctx context.Context) error {
	var whole bool
	if err := scanComplete(s.pool.QueryRow(ctx, complete, access.Name), &whole); err != nil {
		return err
	}
	if !whole {
		return ErrIncomplete
	}
	return ErrNotFound
}

// Session reads a session and its person's account as it is now, in one look;
// ErrNotFound without the session, or without an account, which an erased
// person has not; ErrIncomplete where the account may come yet.
func (s *Store) Session(ctx context.Context, id uuid.UUID) (session.Session, access.Account, error) {
	found := session.Session{ID: id}
	var account access.Account
	err := s.pool.QueryRow(ctx, sessionWithAccount, access.Name, id).Scan(&found.UserID, &found.PasswordVersion, &found.AccessVersion, &found.Counter,
		&found.UsedAt, &found.OpenedAt, &found.LastUsedAt, &found.ExpiresAt, &found.Revoked,
		&account.PasswordVersion, &account.MustChange, &account.Active, &account.Roles, &account.SessionsFrom, &account.AccessVersion)
	if errors.Is(err, pgx.ErrNoRows) {
		var waits bool
		if err = s.pool.QueryRow(ctx, sessionWaits, access.Name, id).Scan(&waits); err == nil {
			err = ErrNotFound
		}
		if waits {
			err = ErrIncomplete
		}
	}
	if err != nil {
		return session.Session{}, access.Account{}, fmt.Errorf("read session: %w", err)
	}
	account.UserID = found.UserID
	return found, account, nil
}

// AdvanceSession stores a session whose counter was from. advanced is false when
// somebody else was faster, or ended the session.
func (s *Store) AdvanceSession(ctx context.Context, from int64, to session.Session) (advanced bool, err error) {
	tag, err := s.pool.Exec(ctx, advanceSession, to.ID, from, to.Counter, times(to.UsedAt), to.LastUsedAt, to.ExpiresAt, deleteOn(to))
	if err != nil {
		return false, fmt.Errorf("advance session: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// RevokeSession ends a session. revoked is false when it has ended before, or
// there is none.
func (s *Store) RevokeSession(ctx context.Context, id uuid.UUID, why session.Reason, now time.Time) (revoked bool, err error) {
	tag, err := s.pool.Exec(ctx, revokeSession, id, now, string(why))
	if err != nil {
		return false, fmt.Errorf("revoke session: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// RevokeSessions ends all sessions of a person and counts those that were alive.
func (s *Store) RevokeSessions(ctx context.Context, userID uuid.UUID, why session.Reason, now time.Time) (int64, error) {
	tag, err := s.pool.Exec(ctx, revokeSessions, userID, now, string(why))
	if err != nil {
		return 0, fmt.Errorf("revoke sessions: %w", err)
	}
	return tag.RowsAffected(), nil
}

// DeleteSessions deletes some sessions that expired a week ago or more; more is
// true when there may be others.
func (s *Store) DeleteSessions(ctx context.Context, now time.Time) (deleted int64, more bool, err error) {
	tag, err := s.pool.Exec(ctx, deleteSessions, now.UTC(), deleteBatch)
	if err != nil {
		return 0, false, fmt.Errorf("delete sessions: %w", err)
	}
	return tag.RowsAffected(), tag.RowsAffected() == deleteBatch, nil
}

// deleteOn is a day, so that it changes once a day and not with each refresh:
// it is indexed.
func deleteOn(of session.Session) time.Time {
	return of.ExpiresAt.Add(keptAfterExpiry).UTC()
}

// times keeps an empty list from becoming null.
func times(list []time.Time) []time.Time {
	if list == nil {
		return []time.Time{}
	}
	return list
}
