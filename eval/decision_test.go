package eval

import (
	"testing"
	"unsafe"
)

// The compiler keeps structs of up to four words in registers. Larger ones make each
// evaluation up to three times slower.
func TestSmallStructsStayInRegisters(t *testing.T) {
	const fourWords = 4 * unsafe.Sizeof(uintptr(0))
	if size := unsafe.Sizeof(decision{}); size > fourWords {
		t.Errorf("a decision takes %d bytes; it must not take more than %d", size, fourWords)
	}
	if size := unsafe.Sizeof(Value{}); size > fourWords {
		t.Errorf("a Value takes %d bytes; it must not take more than %d", size, fourWords)
	}
}
