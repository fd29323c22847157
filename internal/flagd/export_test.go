package flagd

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/tidegate/tidegate/examples"
	"github.com/tidegate/tidegate/internal/manifest"
)

func TestX(t *testing.T) {
	d, err := manifest.Parse("x", examples.Flags)
	if err != nil { t.Fatal(err) }
	data, om := Export(d.Flags, d.Segments, nil)
	fmt.Println(string(data), om)
	if !json.Valid(data) { t.Fatal("invalid") }
}
