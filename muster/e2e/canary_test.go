package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// No event, message, log line or error holds a password, a verifier, a token or
// a sealed field in clear, whatever a person does and whatever goes wrong.
func TestCanariesShowNowhere(t *testing.T) {
	s := start(t)
	messages := s.events(t)
	canary := person{
		Username:  "canaryname",
		Email:     "canarymail@canarydomain.example",
		Password:  "canary-password-1",
		FirstName: "Canaryfirst",
		LastName:  "Canarylast",
	}
	var answers []string // of refused calls
	keep := func(a answer) { answers = append(answers, a.raw) }

	s.call(t, "AuthService/Register", canary).ok(t)
	login := s.call(t, "AuthService/Login", canary.login()).ok(t)
	token := bearer(login.text("accessToken"))
	s.call(t, "UserService/GetMe", map[string]any{}, token).ok(t)
	s.call(t, "UserService/UpdateMe", map[string]any{"firstName": "Canarysecond", "lastName": "Canarythird"}, token).ok(t)
	refreshed := s.call(t, "AuthService/RefreshToken", map[string]any{"refreshToken": login.text("refreshToken")}).ok(t)

	s.putAvatar(t, photograph(t, 300, 200, "Canaryexif, 52.37N 4.89E"), token).ok(t)
	upload := s.beginUpload(t, token, "Canaryfile.txt", []byte("Canarycontent"))
	upload.post(t, s, []byte("Canarycontent")).taken(t)
	s.call(t, "MediaService/CompleteUpload", file(upload.id), token).ok(t)
	presigned, err := url.Parse(s.call(t, "MediaService/GetFileUrl", file(upload.id), token).ok(t).text("url"))
	if err != nil {
		t.Fatal(err)
	}
	abandoned := s.beginUpload(t, token, "Canaryabandoned.txt", []byte("Canarycontent"))

	keep(s.putAvatar(t, []byte("Canarypicture"), token).refused(t, musterv1.Reason_REASON_PICTURE_INVALID, "picture"))
	keep(s.call(t, "MediaService/CompleteUpload", file(abandoned.id), token).refused(t, musterv1.Reason_REASON_UPLOAD_INCOMPLETE, ""))
	keep(s.call(t, "MediaService/CreateUpload", map[string]any{"name": "Canary\u202ename", "contentType": "text/plain", "size": 1}, token))
	keep(s.call(t, "AuthService/Register", canary).refused(t, musterv1.Reason_REASON_USERNAME_TAKEN, "username"))
	keep(s.call(t, "AuthService/Login", map[string]any{"login": canary.Email, "password": "canary-password-wrong"}).refused(t, musterv1.Reason_REASON_WRONG_CREDENTIALS, ""))
	keep(s.call(t, "AuthService/Login", map[string]any{"login": "canary-unknown", "password": "canary-password-wrong"}).refused(t, musterv1.Reason_REASON_WRONG_CREDENTIALS, ""))
	keep(s.call(t, "AuthService/ChangePassword", map[string]any{"presentPassword": "canary-password-wrong", "newPassword": "canary-password-2"}, token).refused(t, musterv1.Reason_REASON_WRONG_PASSWORD, "presentPassword"))
	keep(s.call(t, "AuthService/Register", `{"username":"canary-broken","password":"canary-password-broken`))
	keep(s.call(t, "AuthService/RefreshToken", map[string]any{"refreshToken": "canary-refresh-token"}))
	keep(s.call(t, "UserService/GetMe", map[string]any{}, bearer("canary-access-token")))
	s.call(t, "AuthService/ChangePassword", map[string]any{"presentPassword": canary.Password, "newPassword": "canary-password-2"}, token).ok(t)

	canaries := []string{
		canary.Username, canary.Email, "canarydomain", canary.FirstName, canary.LastName, "Canarysecond", "Canarythird",
		canary.Password, "canary-password", "canary-unknown", "canary-refresh-token", "canary-access-token",
		"$argon2id$",
		"Canaryexif", "Canaryfile", "Canaryabandoned", "Canarycontent", "Canarypicture",
		upload.fields["x-amz-signature"], presigned.Query().Get("X-Amz-Signature"),
		login.text("accessToken"), login.text("refreshToken"), refreshed.text("accessToken"), refreshed.text("refreshToken"),
	}
	look := func(where, text string) {
		t.Helper()
		low := strings.ToLower(text)
		for _, c := range canaries {
			if len(c) < 8 {
				t.Fatalf("canary %q is empty, or too short to tell anything", c)
			}
			plain := []byte(c)
			for encoding, shape := range map[string]string{
				"in clear":  strings.ToLower(c),
				"in hex":    hex.EncodeToString(plain),
				"in base64": strings.ToLower(strings.TrimRight(base64.StdEncoding.EncodeToString(plain[:len(plain)/3*3]), "=")),
			} {
				if strings.Contains(low, shape) {
					t.Errorf("%s shows %q %s", where, c, encoding)
				}
			}
		}
	}

	for i, a := range answers {
		look(fmt.Sprintf("refusal %d", i), a)
	}
	// The password change is the last event; when its message has come by, all have.
	// Media forwards its own log.
	seen := map[string]int{}
	for seen["identity.user.password_set"] < 2 || seen["media.avatar.avatar_set"] < 1 || seen["media.file.file_uploaded"] < 1 {
		message := awaitMessage(t, messages, "", "")
		seen[message.RoutingKey]++
		look("message "+message.RoutingKey, everything(message))
	}
	if seen["identity.user.user_registered"] < 1 {
		t.Errorf("saw %v", seen)
	}
	for _, database := range []string{"muster_identity", "muster_keyring", "muster_credentials", "muster_media"} {
		for table, text := range s.dump(t, database) {
			if strings.HasPrefix(table, "read.") || strings.HasPrefix(table, "sessions.") || table == "storage.uploads" {
				continue // what is served, or awaits completion for minutes
			}
			look(database+" "+table, text)
		}
	}
	for database, event := range map[string]string{"muster_identity": "UserRegistered", "muster_media": "FileUploaded"} {
		if text := s.dump(t, database)["log.events"]; !strings.Contains(text, event) {
			t.Errorf("the dump of the log in %s is empty: this test sees nothing", database)
		}
	}
	for _, key := range s.bucket().Objects(t) {
		look("object", key)
		if strings.HasPrefix(key, "avatars/") {
			look("avatar", string(s.bucket().Get(t, key)))
		}
	}
	s.shutDown() // flushes the logs
	files := 0
	err = filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".log") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		look("log file "+filepath.Base(path), string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Error("no log file was found: this test sees nothing")
	}
}

// dump gives every row of every table as text, bytes in hex.
func (s *world) dump(t *testing.T, database string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	config, err := pgx.ParseConfig(s.Servers.AdminURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	config.Database = database
	connection, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close(ctx)
	rows, err := connection.Query(ctx, `SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	dumped := make(map[string]string, len(tables))
	for _, table := range tables {
		var text string
		if err := connection.QueryRow(ctx, `SELECT coalesce(string_agg(r::text, E'\n'), '') FROM `+table+` r`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		dumped[table] = text
	}
	return dumped
}

func everything(m amqp.Delivery) string {
	return fmt.Sprintf("%s %v %x %s", m.RoutingKey, m.Headers, m.Body, m.Body)
}
