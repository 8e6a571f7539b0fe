// Command validateproto writes protovalidate's rules file, buf/validate/validate.proto,
// from the descriptor that its Go module carries: the schema registry that
// usually serves the file need not be reachable, and foreign source is not
// committed.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	validate "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/jhump/protoreflect/v2/protoprint"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "validateproto:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: validateproto DIR")
	}
	file := validate.File_buf_validate_validate_proto
	path := filepath.Join(args[0], filepath.FromSlash(file.Path()))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	text, err := new(protoprint.Printer).PrintProtoToString(file)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
