// Package config fills a service's Config struct from its settings, once, at
// start:
//
//	envDefault tags ◀─ file of KEY=VALUE lines ◀─ environment (wins)
//
// A setting is MUSTER_<SERVICE>_<key>, the key from the field's tag:
//
//	DatabaseURL secret.String `env:"DATABASE_URL,required" desc:"URL of the run-time role"`
//
// Every fault is named at once, by the setting's full name, and no secret is
// ever shown. A secret may also lie in a file of its own, named by
// MUSTER_<SERVICE>_<key>_FILE.
package config
