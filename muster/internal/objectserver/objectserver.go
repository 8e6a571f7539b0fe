package objectserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"

	"github.com/muster-id/muster/platform/secret"
)

// Region is what the server calls its own; clients sign with it.
const Region = "us-east-1"

// Bounds of one server. The system keeps some tens of connections open, and
// whoever is past them is told to slow down.
const (
	maxConnections = 2048
	maxRequests    = 1024
	maxActions     = 256 // file operations at a time, each of which may hold a thread
	maxParts       = 10000
)

// Config is what a server needs.
type Config struct {
	// Dir is the data directory; it is made if missing.
	Dir string
	// Listen is host:port.
	Listen string
	// AccessKey and SecretKey are the only account's.
	AccessKey string
	SecretKey secret.String
}

// Run serves until the context ends, which is no error. There can be one at a
// time in a process, and it changes the working directory: versitygw keeps both
// in globals.
func Run(ctx context.Context, config Config) error {
	if config.AccessKey == "" || config.SecretKey.Empty() {
		return errors.New("serve S3: access key and secret key are both needed")
	}
	dir, err := filepath.Abs(config.Dir)
	if err != nil {
		return fmt.Errorf("serve S3: %w", err)
	}
	backend, err := openBackend(dir)
	if err != nil {
		return fmt.Errorf("serve S3 from %s: %w", dir, err)
	}
	account := auth.Account{Access: config.AccessKey, Secret: config.SecretKey.Reveal(), Role: auth.RoleAdmin}
	err = embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
		RootUserAccess: account.Access, RootUserSecret: account.Secret, Region: Region,
		// Given, since the way to the built-in one talks on stdout.
		IAMService:     auth.NewIAMServiceSingle(account),
		Ports:          []string{config.Listen},
		MaxConnections: maxConnections, MaxRequests: maxRequests, MultipartMaxParts: maxParts,
		KeepAlive: true, Quiet: true,
		// The signature in a presigned form or URL is what lets a browser in,
		// wherever its page comes from.
		CORSAllowOrigin: "*",
		// Objects belong to the one account; what is public is media's to say.
		DisableACLs: true,
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve S3 on %s: %w", config.Listen, err)
	}
	return nil
}

// openBackend keeps objects as files, and what is known about one in the file's
// extended attributes: they are there at the moment at which the file is, also
// when the process is killed. A file system without them has a directory beside
// instead, which is then used for good.
//
//	objects/<bucket>/<key>
//	attributes/               only without extended attributes
func openBackend(dir string) (*posix.Posix, error) {
	objects, beside := filepath.Join(dir, "objects"), filepath.Join(dir, "attributes")
	if err := os.MkdirAll(objects, 0o700); err != nil {
		return nil, err
	}
	options := posix.PosixOpts{Concurrency: maxActions, CopyObjectThreshold: 5 << 30}
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	_, err := os.Stat(beside)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil && (meta.XattrMeta{}).Test(objects) == nil {
		return posix.New(objects, meta.XattrMeta{}, options)
	}
	if err := os.MkdirAll(beside, 0o700); err != nil {
		return nil, err
	}
	sidecar, err := meta.NewSideCar(beside)
	if err != nil {
		return nil, err
	}
	options.SideCarDir = beside
	return posix.New(objects, sidecar, options)
}
