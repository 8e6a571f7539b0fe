package password

// Settings of a pool, for the configuration of each service that hashes.
type Settings struct {
	MemoryKiB   uint32 `env:"PASSWORD_MEMORY_KIB" envDefault:"19456" desc:"Argon2id: memory of one hash, in KiB"`
	Time        uint32 `env:"PASSWORD_TIME" envDefault:"2" desc:"Argon2id: passes over the memory"`
	Parallelism uint8  `env:"PASSWORD_PARALLELISM" envDefault:"1" desc:"Argon2id: lanes of one hash"`
	Workers     int    `env:"PASSWORD_WORKERS" envDefault:"0" desc:"Hashes computed at once; 0 for one for each core"`
	Queue       int    `env:"PASSWORD_QUEUE" envDefault:"0" desc:"Calls that may wait for a hash; 0 for eight for each worker"`

	// Shared is the process's pool, where several services share a process. One
	// of other costs than these is passed over.
	Shared *Pool `env:"-"`
}

// Params are the costs of a hash, to be validated.
func (s Settings) Params() Params {
	return Params{MemoryKiB: s.MemoryKiB, Time: s.Time, Parallelism: s.Parallelism}
}

// Pool is the shared one, or a new one.
func (s Settings) Pool() *Pool {
	if s.Shared != nil && s.Shared.params == s.Params() {
		return s.Shared
	}
	return NewPool(s.Params(), s.Workers, s.Queue)
}
