// Package stackfile is stack.json, which tells other programs what a running
// `muster up` consists of.
package stackfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/muster-id/muster/platform/durable"
)

// Name is the file's name in the data directory.
const Name = "stack.json"

// File is its content. It holds passwords: its mode is 0600.
type File struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Data    string    `json:"data"`

	// Postgres is the URL of a role that may create roles and databases.
	Postgres string `json:"postgres"`
	// AMQP is RabbitMQ's URL, Management the address of its management API.
	AMQP       string `json:"amqp,omitempty"`
	Management string `json:"management,omitempty"`
	S3         S3     `json:"s3"`
	// Servers are those that "up" runs, S3 among them.
	Servers []Server `json:"servers"`

	// API is the URL of the public API.
	API string `json:"api"`
	// Databases are the URLs of the run-time roles, by the database's name.
	Databases map[string]string `json:"databases"`
	// Services by name.
	Services map[string]Service `json:"services"`
	// Certificates is the folder of the services' certificates, and of the
	// operator's, with which the command line calls them.
	Certificates string `json:"certificates"`
	// AdminPasswordFile is the path of the first admin's one-time password.
	AdminPasswordFile string `json:"adminPasswordFile,omitempty"`
}

// Server is a server that `up` started.
type Server struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	PID     int    `json:"pid"`
	Log     string `json:"log"`
}

// S3 is where files and avatars are.
type S3 struct {
	Endpoint  string `json:"endpoint"` // http(s)://host:port
	Region    string `json:"region"`
	AccessKey string `json:"accessKey"`
	SecretKey string `json:"secretKey"`
}

// Service is a running service.
type Service struct {
	Address string `json:"address"` // host:port
	PID     int    `json:"pid"`
	Metrics string `json:"metrics"` // host:port of its metrics
}

// Write writes it into a data directory so that a reader sees all of it or none.
func Write(dir string, file File) error {
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", Name, err)
	}
	return durable.Write(filepath.Join(dir, Name), append(text, '\n'), 0o600)
}

// Read reads it. Without one the error is fs.ErrNotExist.
func Read(dir string) (File, error) {
	text, err := os.ReadFile(filepath.Join(dir, Name))
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", Name, err)
	}
	var file File
	if err := json.Unmarshal(text, &file); err != nil {
		return File{}, fmt.Errorf("read %s: %w", Name, err)
	}
	return file, nil
}

// Remove deletes it; none is no fault.
func Remove(dir string) error {
	if err := os.Remove(filepath.Join(dir, Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", Name, err)
	}
	return nil
}
