package eventtest

import "testing"

func TestTheKeyringOfTestsKeepsWhatSealingReliesOn(t *testing.T) {
	t.Parallel()
	RunKeyring(t, func(*testing.T) KeyringUnderTest { return NewKeyring() })
}
