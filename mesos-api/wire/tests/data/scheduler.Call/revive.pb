
+
)2ea1ec0f-7f3e-4b0c-8d4d-0d6a4c7b6a11-0001z
eng