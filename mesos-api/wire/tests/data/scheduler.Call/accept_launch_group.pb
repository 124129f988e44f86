
+
)2ea1ec0f-7f3e-4b0c-8d4d-0d6a4c7b6a11-0001"l

oe:Z


eB
fxJ

a
a
s:true
1
b
b
sJ"
nginx˜òPtcp*
kvb
op1