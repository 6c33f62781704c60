package gabiontest_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/gabiondb/gabion/gabiontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func put(t testing.TB, k *gabiontest.Kit, table, key, value string) {
	t.Helper()
	if err := tryPut(k, table, key, value); err != nil {
		t.Fatal(err)
	}
}

func tryPut(k *gabiontest.Kit, table, key, value string) error {
	_, err := k.Gabion().Table(table).Put(context.Background(), []byte(key), []byte(value))
	return err
}

// get is a value, or the text of the error.
func get(k *gabiontest.Kit, table, key string) string {
	value, err := k.Gabion().Table(table).Get(context.Background(), []byte(key))
	if err != nil {
		return err.Error()
	}
	return string(value)
}

func want(t testing.TB, k *gabiontest.Kit, table, key, value string) {
	t.Helper()
	if got := get(k, table, key); got != value {
		t.Errorf("table %s has %s = %q, want %q", table, key, got, value)
	}
}

const none = `get "key": not found`
