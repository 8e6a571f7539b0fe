package devstack

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// parentEnv makes the test binary the parent of a stack, for a test to kill.
const parentEnv = "DEVSTACK_TEST_PARENT"

// announcement is what the parent prints when its servers answer.
type announcement struct{ Admin, AMQP string }

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentEnv); dir != "" {
		if err := beParent(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// beParent runs a stack until it is killed.
func beParent(dir string) error {
	stack, err := Start(context.Background(), Config{Dir: dir, Broker: true, Progress: os.Stderr})
	if err != nil {
		return err
	}
	if err := stack.AwaitBroker(context.Background()); err != nil {
		return err
	}
	err = json.NewEncoder(os.Stdout).Encode(announcement{stack.AdminURL.Reveal(), stack.AMQPURL.Reveal()})
	if err != nil {
		return err
	}
	return <-stack.Failed()
}
